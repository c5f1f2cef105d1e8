//! Who has killed a worker that this master has not: what the kernel's count of processes killed for
//! want of memory tells about it.

use std::time::Duration;

use super::record::{Read, Reader, Writer};
use crate::sys::oom::Kills;

/// What is counted for longer than this before a worker is found dead is not about that worker.
const FRESH: Duration = Duration::from_secs(10);

/// What is known about a SIGKILL from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspect {
    /// Nothing.
    Anybody,
    /// The OOM killer has killed a process of our control group.
    OomKiller,
    /// It has killed a process of the system.
    PerhapsOomKiller,
    /// It has killed nobody.
    SomebodyElse,
}

/// Compares each count with the one before.
#[derive(Clone, Debug, Default)]
pub struct Suspects {
    last: Option<(Kills, Duration)>,
    /// Kills that were counted and that no dead worker stands for yet.
    open: u64,
}

impl Suspects {
    /// Takes the count of this moment: `None` if the system does not count.
    pub fn look(&mut self, kills: Option<Kills>, now: Duration) {
        let more = match (self.last, kills) {
            (Some((Kills::InGroup(before), _)), Some(Kills::InGroup(count)))
            | (Some((Kills::Anywhere(before), _)), Some(Kills::Anywhere(count))) => {
                count.saturating_sub(before)
            }
            _ => 0,
        };
        if self.last.is_none_or(|(_, at)| now >= at + FRESH) {
            self.open = 0;
        }
        self.open = self.open.saturating_add(more);
        self.last = kills.map(|kills| (kills, now));
    }

    pub fn save(&self, record: &mut Writer) {
        record.option(self.last, |record, (kills, at)| {
            let (in_group, count) = match kills {
                Kills::InGroup(count) => (true, count),
                Kills::Anywhere(count) => (false, count),
            };
            record.put(in_group);
            record.put(count);
            record.time(at);
        });
        record.put(self.open);
    }

    pub fn restore(record: &mut Reader<'_>) -> Read<Self> {
        let last = record.option(|record| {
            let (in_group, count) = (record.flag()?, record.number()?);
            let kills = if in_group { Kills::InGroup(count) } else { Kills::Anywhere(count) };
            Ok((kills, record.time()?))
        })?;
        Ok(Self { last, open: record.number()? })
    }

    /// Whom one more dead worker is put down to.
    pub fn accuse(&mut self) -> Suspect {
        let Some((kills, _)) = self.last else { return Suspect::Anybody };
        let guilty = self.open > 0;
        self.open = self.open.saturating_sub(1);
        match kills {
            _ if !guilty => Suspect::SomebodyElse,
            Kills::InGroup(_) => Suspect::OomKiller,
            Kills::Anywhere(_) => Suspect::PerhapsOomKiller,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(first: Option<Kills>, second: Option<Kills>) -> Suspects {
        let mut suspects = Suspects::default();
        suspects.look(first, SECOND);
        suspects.look(second, 100 * SECOND);
        suspects
    }

    #[test]
    fn each_kill_stands_for_one_worker() {
        let mut suspects = after(Some(Kills::InGroup(3)), Some(Kills::InGroup(5)));
        let accused = [0; 3].map(|_| suspects.accuse());
        assert_eq!(accused, [Suspect::OomKiller, Suspect::OomKiller, Suspect::SomebodyElse]);
        let mut suspects = after(Some(Kills::Anywhere(3)), Some(Kills::Anywhere(4)));
        let accused = [0; 2].map(|_| suspects.accuse());
        assert_eq!(accused, [Suspect::PerhapsOomKiller, Suspect::SomebodyElse]);
    }

    #[test]
    fn old_kills_were_about_others() {
        let mut suspects = after(Some(Kills::InGroup(3)), Some(Kills::InGroup(5)));
        suspects.look(Some(Kills::InGroup(5)), 105 * SECOND);
        assert_eq!(suspects.accuse(), Suspect::OomKiller);
        suspects.look(Some(Kills::InGroup(5)), 120 * SECOND);
        assert_eq!(suspects.accuse(), Suspect::SomebodyElse);
    }

    #[test]
    fn what_is_known_passes_to_another_program() {
        let suspects = after(Some(Kills::InGroup(3)), Some(Kills::InGroup(5)));
        let mut record = Writer::default();
        suspects.save(&mut record);
        let mut again = Suspects::restore(&mut Reader::new(record.text())).unwrap();
        again.look(Some(Kills::InGroup(6)), 101 * SECOND);
        let accused = [0; 4].map(|_| again.accuse());
        assert_eq!(accused[..3], [Suspect::OomKiller; 3]);
        assert_eq!(accused[3], Suspect::SomebodyElse);
    }

    #[test]
    fn who_does_not_count_knows_nothing() {
        assert_eq!(Suspects::default().accuse(), Suspect::Anybody);
        assert_eq!(after(Some(Kills::InGroup(3)), None).accuse(), Suspect::Anybody);
        // Nothing to compare with.
        assert_eq!(after(None, Some(Kills::InGroup(3))).accuse(), Suspect::SomebodyElse);
        let other = after(Some(Kills::Anywhere(3)), Some(Kills::InGroup(9))).accuse();
        assert_eq!(other, Suspect::SomebodyElse);
    }
}
