//! What a master that becomes a new program passes on in a form that does not change from version to version:
//! for the case that somebody replaces the program in that moment, and what comes cannot read the record of
//! the one before. It starts anew at the same sockets then, and the workers from before go when it serves.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use super::record::{Malformed, Read, Reader, Writer};
use crate::sys::listen::adopt;
use crate::sys::process::{self, Pid};
use crate::sys::signal::Pipe;

/// Where it is passed on: the process, the end of the lifeline, whether the sockets came by socket activation,
/// the sockets, and the numbers of what else was passed on. It must stay as it is.
pub const VARIABLE: &str = "RGUNICORN_RESCUE";

/// See the module documentation.
pub struct Rescue {
    /// Workers from before notice when it is closed.
    pub life: OwnedFd,
    sockets: Vec<RawFd>,
    pub activated: bool,
    /// Of use for another program only.
    others: Vec<RawFd>,
}

impl Rescue {
    /// # Errors
    /// No descriptors are left.
    pub fn save<'a>(
        life: BorrowedFd<'_>,
        sockets: impl IntoIterator<Item = BorrowedFd<'a>>,
        activated: bool,
        others: impl IntoIterator<Item = RawFd>,
    ) -> io::Result<Writer> {
        let mut record = Writer::default();
        record.put(process::getpid());
        record.descriptor(life)?;
        record.put(activated);
        record.try_list(sockets, Writer::descriptor)?;
        record.list(others, Writer::put);
        Ok(record)
    }

    /// What the environment holds. `take` takes a variable out of it.
    pub fn read(take: &dyn Fn(&str) -> Option<OsString>) -> Option<Self> {
        let text = take(VARIABLE)?;
        Self::restore(&mut Reader::new(&text.to_string_lossy())).ok()
    }

    fn restore(record: &mut Reader<'_>) -> Read<Self> {
        if Pid::new(record.number()?) != Some(process::getpid()) {
            return Err(Malformed);
        }
        Ok(Self {
            life: record.descriptor()?,
            activated: record.flag()?,
            sockets: record.list(Reader::number)?,
            others: record.list(Reader::number)?,
        })
    }

    /// There is no need for it.
    pub fn close(self) {
        self.sockets.into_iter().for_each(|number| drop(adopt(number)));
    }

    /// Closes what is of no use here, and gives the sockets by number.
    pub fn take_sockets(&mut self) -> Vec<RawFd> {
        Pipe::leave();
        // Those that were read before the record turned out to be another one are closed already.
        self.others.drain(..).for_each(|number| drop(adopt(number)));
        std::mem::take(&mut self.sockets)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

    use super::*;

    #[test]
    fn the_form_stays_as_it_is() {
        let (read, write) = std::io::pipe().unwrap();
        let record = Rescue::save(write.as_fd(), [read.as_fd()], true, [77, 78]).unwrap();
        let [life, socket] = record.numbers().collect::<Vec<_>>()[..] else { panic!("two") };
        let pid = process::getpid();
        assert_eq!(record.text(), format!("{pid} {life} true 1 {socket} 0 1 77 1 78 0 "));
        let other = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
        let text = format!("{pid} {life} true 1 {socket} 0 1 {other} 0 ");
        std::mem::forget(record);
        let take = |name: &str| (name == VARIABLE).then(|| text.clone().into());
        let mut rescue = Rescue::read(&take).unwrap();
        assert_eq!((rescue.life.as_raw_fd(), rescue.activated), (life, true));
        assert_eq!((&rescue.sockets[..], &rescue.others[..]), (&[socket][..], &[other][..]));
        for nonsense in ["", "1 2", "x", &format!("{pid} 9999 true 0 0 ")] {
            assert!(Rescue::read(&|_| Some(nonsense.into())).is_none(), "{nonsense}");
        }
        rescue.others.clear();
        assert_eq!(rescue.take_sockets(), [socket]);
    }
}
