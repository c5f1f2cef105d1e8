//! The listening sockets of the pool, and how a reload changes them.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::path::PathBuf;

use super::record::{Malformed, Read, Reader, Writer};
use crate::error::Error;
use crate::net::address::Address;
use crate::net::inherit::Passed;
use crate::net::listener::{Listener, Opening, SocketFile};

/// What to listen at and the sockets for it.
pub struct Sockets {
    addresses: Vec<Address>,
    listeners: Vec<Listener>,
    /// While a reload is on trial: what to return to.
    before: Option<Before>,
    /// They came by socket activation.
    activated: bool,
    /// Another master has the same sockets, whose files must stay therefore.
    shared: bool,
}

struct Before {
    addresses: Vec<Address>,
    /// Those of its listeners that the configuration on trial does not use.
    unused: Vec<(Address, Listener)>,
}

impl Sockets {
    /// Takes the sockets that were passed in, or opens those of `bind`.
    ///
    /// # Errors
    /// A bad address, or one that cannot be had.
    pub fn open(passed: &[Passed], bind: &[String], opening: Opening) -> Result<Self, Error> {
        if passed.is_empty() {
            let addresses = parse(bind)?;
            let listeners = Listener::bind_all(&addresses, opening)?;
            return Ok(Self {
                addresses,
                listeners,
                before: None,
                activated: false,
                shared: false,
            });
        }
        let addresses: Vec<Address> = passed.iter().map(Passed::address).collect();
        let listeners = Listener::bind_all(&addresses, opening).map_err(|error| {
            let all: Vec<String> = passed.iter().map(ToString::to_string).collect();
            Error::config(format!("{error} The service manager has passed {}.", all.join(", ")))
        })?;
        Ok(Self { addresses, listeners, before: None, activated: true, shared: false })
    }

    /// Takes the sockets that another master has passed on, which were opened for `bind` if nobody has
    /// changed that since. What has been changed takes effect at the next reload.
    ///
    /// # Errors
    /// A bad address, or something that is no socket.
    pub fn take_over(numbers: &[RawFd], bind: &[String], backlog: u32) -> Result<Self, Error> {
        let listeners = numbers.iter().map(|number| Listener::take_over(*number, backlog));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let mut wanted = parse(bind)?;
        let addresses = listeners.iter().map(|listener| {
            let actual = listener.address();
            let index = wanted.iter().position(|wanted| wanted.fits(&actual));
            index.map_or(actual, |index| wanted.remove(index))
        });
        let addresses: Vec<Address> = addresses.collect();
        if !wanted.is_empty() {
            let missing: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            tracing::warn!(
                "The sockets are those of the master before this one. What else 'bind' names, {}, is \
                 opened at the next reload (HUP).",
                missing.join(", ")
            );
        }
        Ok(Self { addresses, listeners, before: None, activated: false, shared: true })
    }

    /// Whether they came by socket activation.
    pub fn are_activated(&self) -> bool {
        self.activated
    }

    /// Whether another master has them too.
    pub fn share(&mut self, shared: bool) {
        self.shared = shared;
    }

    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Those at TCP addresses, if this process has opened them.
    pub fn tcp(&self) -> impl Iterator<Item = &Listener> {
        let pairs = self.addresses.iter().zip(&self.listeners);
        pairs.filter(|(address, _)| matches!(address, Address::Tcp { .. })).map(|(_, one)| one)
    }

    /// Takes out those at TCP addresses that an earlier one is at: the second of each, the third, ...
    pub fn take_lanes(&mut self) -> Vec<Vec<Listener>> {
        let mut lanes: Vec<Vec<Listener>> = Vec::new();
        let addresses = std::mem::take(&mut self.addresses);
        let listeners = std::mem::take(&mut self.listeners);
        for (address, listener) in addresses.into_iter().zip(listeners) {
            let earlier = self.tcp().any(|known| known.text() == listener.text());
            if !earlier {
                self.addresses.push(address);
                self.listeners.push(listener);
                continue;
            }
            let has =
                |lane: &&mut Vec<Listener>| lane.iter().all(|one| one.text() != listener.text());
            match lanes.iter_mut().find(has) {
                Some(lane) => lane.push(listener),
                None => lanes.push(vec![listener]),
            }
        }
        lanes
    }

    /// In a forked worker: closes those at TCP addresses unless they are `kept`, and adds `others`.
    pub fn keep_lanes(&mut self, kept: bool, others: Vec<Listener>) {
        let wanted: Vec<String> = self.tcp().map(|one| one.text().to_owned()).collect();
        self.listeners.retain(|one| kept || !wanted.iter().any(|text| text == one.text()));
        let others = others.into_iter().filter(|one| wanted.iter().any(|text| text == one.text()));
        self.listeners.extend(others);
    }

    /// Whether they were passed in.
    pub fn were_passed(&self) -> bool {
        self.addresses.iter().any(|address| matches!(address, Address::Fd(_)))
    }

    /// `http://127.0.0.1:8000,unix:/run/app.sock`
    pub fn text(&self) -> String {
        let texts: Vec<String> = self.listeners.iter().map(ToString::to_string).collect();
        texts.join(",")
    }

    /// Changes to the addresses of a new configuration, on trial: what is there already is kept open,
    /// what is new is opened first, and what is no longer wanted stays open until [`Self::commit`].
    /// Says whether anything changed.
    ///
    /// # Errors
    /// As [`Self::open`]; nothing has changed then.
    pub fn change(&mut self, bind: &[String], opening: Opening) -> Result<bool, Error> {
        // Sockets that were passed in stand above `bind`.
        if self.were_passed() {
            return Ok(false);
        }
        let wanted = parse(bind)?;
        if wanted.iter().any(|address| matches!(address, Address::Fd(_))) {
            return Err(Error::config(
                "'bind' now names a passed descriptor, which only a new process can receive. \
                 Restart the server for that.",
            ));
        }
        let before = self.before.as_ref();
        let parked = before.iter().flat_map(|before| &before.unused).map(|(address, _)| address);
        let open: Vec<&Address> = self.addresses.iter().chain(parked).collect();
        let is_missing = |wanted: &&Address| !open.contains(wanted) || self.is_unreachable(wanted);
        let missing: Vec<Address> = wanted.iter().filter(is_missing).cloned().collect();
        let new = Listener::bind_all(&missing, opening)?;
        let changed = wanted != self.addresses || !missing.is_empty();
        self.select(wanted, missing.into_iter().zip(new));
        Ok(changed)
    }

    /// Whether the socket at this address has lost its file, so that nobody can connect any more.
    fn is_unreachable(&self, address: &Address) -> bool {
        let own = self.addresses.iter().zip(&self.listeners).find(|(known, _)| *known == address);
        own.is_some_and(|(_, listener)| listener.has_lost_its_file())
    }

    /// The configuration on trial works: what only the one before it used is closed. Workers that
    /// still run keep their copies until they go.
    pub fn commit(&mut self) {
        if let Some(before) = self.before.take() {
            before.unused.iter().for_each(|(_, listener)| self.remove_file(listener));
        }
    }

    /// The configuration on trial does not work: its sockets are closed, those before it are back.
    pub fn rollback(&mut self) {
        if let Some(before) = &self.before {
            self.select(before.addresses.clone(), []);
            self.commit();
        }
    }

    /// In a forked worker: closes its copies of sockets that are kept only to return to. A client
    /// that connects to one of them would wait for ever once the others are gone, and nobody could
    /// bind its address again.
    pub fn keep_used(&mut self) {
        self.before = None;
    }

    /// Closes all and removes their socket files.
    pub fn close(&mut self) {
        self.commit();
        self.addresses.clear();
        let listeners = std::mem::take(&mut self.listeners);
        for listener in &listeners {
            self.remove_file(listener);
        }
    }

    fn remove_file(&self, listener: &Listener) {
        if !self.shared {
            listener.unlink();
        }
    }

    /// Puts in force the listeners for `wanted`, from the present ones, the parked ones and `new`.
    fn select(&mut self, wanted: Vec<Address>, new: impl IntoIterator<Item = (Address, Listener)>) {
        let present = std::mem::take(&mut self.addresses);
        let (original, parked) = match self.before.take() {
            Some(before) => (before.addresses, before.unused),
            None => (present.clone(), Vec::new()),
        };
        let listeners = std::mem::take(&mut self.listeners);
        // What is new takes the place of one that cannot be reached.
        let mut pool: Vec<(Address, Listener)> =
            new.into_iter().chain(present.into_iter().zip(listeners)).chain(parked).collect();
        for address in wanted {
            if let Some(index) = pool.iter().position(|(known, _)| *known == address) {
                let (address, listener) = pool.remove(index);
                self.addresses.push(address);
                self.listeners.push(listener);
            }
        }
        // What neither is wanted now nor was before the trial began came with an earlier trial.
        let (unused, dropped): (Vec<_>, Vec<_>) =
            pool.into_iter().partition(|(address, _)| original.contains(address));
        for (_, listener) in &dropped {
            self.remove_file(listener);
        }
        self.before = Some(Before { addresses: original, unused });
    }
}

impl Sockets {
    /// # Errors
    /// No descriptors are left.
    pub fn save(&self, record: &mut Writer) -> io::Result<()> {
        record.list(&self.addresses, save_address);
        record.try_list(&self.listeners, save_listener)?;
        record.put(u8::from(self.before.is_some()));
        if let Some(before) = &self.before {
            record.list(&before.addresses, save_address);
            record.try_list(&before.unused, |record, (address, listener)| {
                save_address(record, address);
                save_listener(record, listener)
            })?;
        }
        record.put(self.activated);
        Ok(())
    }

    pub fn restore(record: &mut Reader<'_>) -> Read<Self> {
        Ok(Self {
            addresses: record.list(restore_address)?,
            listeners: record.list(restore_listener)?,
            before: record.option(|record| {
                let pair = |record: &mut Reader<'_>| {
                    Ok((restore_address(record)?, restore_listener(record)?))
                };
                Ok(Before { addresses: record.list(restore_address)?, unused: record.list(pair)? })
            })?,
            activated: record.flag()?,
            shared: false,
        })
    }
}

fn save_address(record: &mut Writer, address: &Address) {
    match address {
        Address::Tcp { host, port } => {
            record.put(0);
            record.put(host);
            record.put(port);
        }
        Address::Unix(path) => {
            record.put(1);
            record.put(path.display());
        }
        Address::Abstract(name) => {
            record.put(2);
            record.put(name);
        }
        Address::Fd(number) => {
            record.put(3);
            record.put(number);
        }
    }
}

fn restore_address(record: &mut Reader<'_>) -> Read<Address> {
    Ok(match record.number()? {
        0 => Address::Tcp { host: record.text()?, port: record.number()? },
        1 => Address::Unix(record.text()?.into()),
        2 => Address::Abstract(record.text()?),
        3 => Address::Fd(record.number()?),
        _ => return Err(Malformed),
    })
}

/// Also for those of [`super::lanes`].
pub fn save_listener(record: &mut Writer, listener: &Listener) -> io::Result<()> {
    record.descriptor(listener.as_fd())?;
    // A file whose path is no text stays where it is at the end.
    let file = listener.file().filter(|file| file.path.to_str().is_some());
    record.option(file, |record, file| {
        record.put(file.path.display());
        record.put(file.device);
        record.put(file.inode);
    });
    Ok(())
}

pub fn restore_listener(record: &mut Reader<'_>) -> Read<Listener> {
    let fd = record.descriptor()?;
    let file = record.option(|record| {
        let path = PathBuf::from(record.text()?);
        Ok(SocketFile { path, device: record.number()?, inode: record.number()? })
    })?;
    Listener::adopt(fd, file).map_err(|_| Malformed)
}

fn parse(bind: &[String]) -> Result<Vec<Address>, Error> {
    bind.iter().map(|text| Address::parse(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, IntoRawFd};
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::*;

    const OPENING: Opening = Opening::with_backlog(8);

    /// Socket files `a`, `b`, ... in a directory.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }

        fn bind(&self, names: &[&str]) -> Vec<String> {
            names.iter().map(|name| format!("unix:{}", self.path(name))).collect()
        }

        fn open(&self, names: &[&str]) -> Sockets {
            Sockets::open(&[], &self.bind(names), OPENING).unwrap()
        }

        /// Those of `names` that accept a connection.
        fn alive<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
            let connects = |name: &&str| UnixStream::connect(self.path(name)).is_ok();
            names.iter().copied().filter(connects).collect()
        }
    }

    #[test]
    fn new_sockets_are_open_before_old_ones_close() {
        let place = Place::new();
        let mut sockets = place.open(&["a", "b"]);
        assert!(!sockets.change(&place.bind(&["a", "b"]), OPENING).unwrap());
        assert!(sockets.change(&place.bind(&["c", "b"]), OPENING).unwrap());
        assert_eq!(place.alive(&["a", "b", "c"]), ["a", "b", "c"]);
        let texts = format!("unix:{},unix:{}", place.path("c"), place.path("b"));
        assert_eq!(sockets.text(), texts);
        sockets.commit();
        assert_eq!(place.alive(&["a", "b", "c"]), ["b", "c"]);
        sockets.close();
        assert!(["a", "b", "c"].iter().all(|name| !Path::new(&place.path(name)).exists()));
    }

    #[test]
    fn a_failed_trial_leaves_what_was_there_even_after_several() {
        let place = Place::new();
        let mut sockets = place.open(&["a"]);
        sockets.change(&place.bind(&["b"]), OPENING).unwrap();
        sockets.change(&place.bind(&["c"]), OPENING).unwrap();
        assert_eq!(place.alive(&["a", "b", "c"]), ["a", "c"]);
        sockets.rollback();
        assert_eq!(place.alive(&["a", "b", "c"]), ["a"]);
        assert_eq!(sockets.text(), format!("unix:{}", place.path("a")));
        // Back to the address that was parked, without opening it again.
        sockets.change(&place.bind(&["d"]), OPENING).unwrap();
        sockets.change(&place.bind(&["a"]), OPENING).unwrap();
        sockets.commit();
        assert_eq!(place.alive(&["a", "d"]), ["a"]);
    }

    #[test]
    fn sockets_that_another_master_has_too_keep_their_files() {
        let place = Place::new();
        let mut sockets = place.open(&["a", "b"]);
        sockets.share(true);
        sockets.change(&place.bind(&["a"]), OPENING).unwrap();
        sockets.commit();
        sockets.close();
        assert!(["a", "b"].iter().all(|name| Path::new(&place.path(name)).exists()));
    }

    #[test]
    fn a_socket_whose_file_is_gone_is_opened_anew() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        let bind = [format!("unix:{}", path.display())];
        let mut sockets = Sockets::open(&[], &bind, OPENING).unwrap();
        assert!(!sockets.change(&bind, OPENING).unwrap());
        sockets.commit();
        for works in [false, true] {
            std::fs::remove_file(&path).unwrap();
            assert!(sockets.change(&bind, OPENING).unwrap());
            if works {
                sockets.commit();
            } else {
                sockets.rollback();
            }
            assert_eq!(sockets.listeners().len(), 1);
            UnixStream::connect(&path).unwrap();
            assert!(crate::sys::socket::accept(sockets.listeners()[0].as_fd()).unwrap().is_some());
        }
        sockets.close();
        assert!(!path.exists());
    }

    #[test]
    fn sockets_are_taken_over_together_with_their_files() {
        let place = Place::new();
        let old = place.open(&["a", "b"]);
        let pass = |listener: &Listener| {
            let number = listener.as_fd().try_clone_to_owned().unwrap().into_raw_fd();
            // As it comes out of exec.
            let fd = crate::sys::fd::duplicate(number).unwrap();
            crate::sys::fd::keep_across_exec(fd.as_fd()).unwrap();
            fd.into_raw_fd()
        };
        let numbers: Vec<RawFd> = old.listeners().iter().map(pass).collect();
        // The configuration has been changed meanwhile: b is to go, c to come.
        let mut new = Sockets::take_over(&numbers, &place.bind(&["c", "a"]), 8).unwrap();
        assert_eq!(new.text(), old.text());
        assert!(!new.are_activated());
        new.share(false);
        assert!(new.change(&place.bind(&["c", "a"]), OPENING).unwrap());
        new.commit();
        assert_eq!(place.alive(&["a", "b", "c"]), ["a", "c"]);
        new.close();
        assert!(["a", "b", "c"].iter().all(|name| !Path::new(&place.path(name)).exists()));
        let file = tempfile::tempfile().unwrap();
        crate::sys::fd::keep_across_exec(file.as_fd()).unwrap();
        let number = file.into_raw_fd();
        let error = Sockets::take_over(&[number], &[], 8).err().unwrap().to_string();
        assert!(error.contains(&format!("fd://{number}: the descriptor is not a")), "{error}");
    }

    #[test]
    fn an_address_that_cannot_be_had_changes_nothing() {
        let place = Place::new();
        let mut sockets = place.open(&["a"]);
        for bad in ["unix:", "fd://3", "unix:/nowhere/x"] {
            let bind = [place.bind(&["b"]), vec![bad.to_owned()]].concat();
            assert!(sockets.change(&bind, OPENING).is_err(), "{bad}");
            assert_eq!(place.alive(&["a", "b"]), ["a"]);
        }
        sockets.close();
    }
}
