//! What the simulated world does for a reload.

use super::*;
use crate::master::record::{Reader, Writer};

impl World {
    pub(super) fn read_config(&mut self) -> Event {
        let Some(workers) = self.config else {
            return Event::ConfigRefused("refused".to_owned());
        };
        self.last_policy = workers;
        Event::ConfigRead(policy(workers))
    }

    pub(super) fn start_check(&mut self) -> Event {
        if std::mem::take(&mut self.fork_fails) {
            return Event::ConfigRefused("no more processes".to_owned());
        }
        let pid = Pid::new(self.next_pid).unwrap();
        self.next_pid += 1;
        self.checking.push(pid);
        Event::CheckStarted(pid)
    }

    /// The state passes to a new program, which knows what it has to.
    pub(super) fn renew(&mut self) {
        if !self.state.may_renew() {
            return;
        }
        assert!(!self.stopped, "a new program for a server that stops");
        let saved = |state: &State| {
            let mut record = Writer::default();
            state.save(&mut record);
            record.text().to_owned()
        };
        let text = saved(&self.state);
        self.state = State::restore(&mut Reader::new(&text), self.predecessor).unwrap();
        assert_eq!(saved(&self.state), text);
        let read = self.read_config();
        self.send_all(vec![Event::Started, read]);
    }
}
