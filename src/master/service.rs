//! What the service manager is told that started the server, if one did: `sd_notify(3)`.

use std::time::Duration;

use super::adoption;
use super::record::{Malformed, Read, Reader, Writer};
use super::state::Standing;
use crate::sys::notify::notify;
use crate::sys::process::{self, Pid};

/// Variables of which a worker must know nothing: it is the master that speaks for the service.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// The service, as its manager knows it.
#[derive(Debug, Default)]
pub struct Service {
    /// The value of `NOTIFY_SOCKET`.
    manager: Option<String>,
    phase: Phase,
    /// The last `STATUS`.
    status: String,
    /// The last reload changed nothing.
    reload_failed: bool,
    watchdog: Option<Watchdog>,
    voice: Voice,
}

/// What of the service this master tells, beside which there may be another one. The manager listens to
/// the main process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Voice {
    #[default]
    Everything,
    /// It goes, and is the main process until then; the service stays.
    SignsOfLife,
    /// The other one is the main process.
    Nothing,
}

/// What the manager was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Starting,
    Serving,
    Reloading,
    Stopping,
}

/// The manager ends a service that is silent for too long.
#[derive(Clone, Debug)]
struct Watchdog {
    /// Half of that time, as is usual.
    every: Duration,
    /// Monotonic time.
    due: Duration,
}

impl Service {
    /// Reads the environment of process `pid`: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` if `WATCHDOG_PID`
    /// does not mean somebody else.
    /// `speaks`: there is no other master that speaks for the service.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>, pid: Pid, speaks: bool) -> Self {
        let Some(manager) = variable("NOTIFY_SOCKET").filter(|text| !text.is_empty()) else {
            return Self::default();
        };
        let mine = variable("WATCHDOG_PID").is_none_or(|text| text.trim() == pid.to_string());
        let micros = variable("WATCHDOG_USEC").and_then(|text| text.trim().parse().ok());
        let every = micros.filter(|micros| mine && *micros > 1).map(|micros: u64| Watchdog {
            every: Duration::from_micros(micros / 2),
            due: Duration::ZERO,
        });
        let voice = if speaks { Voice::Everything } else { Voice::Nothing };
        Self { manager: Some(manager), watchdog: every, voice, ..Self::default() }
    }

    /// What the manager has been told. What it wants to hear is in the environment.
    pub fn save(&self, record: &mut Writer) {
        record.put(match self.phase {
            Phase::Starting => 0,
            Phase::Serving => 1,
            Phase::Reloading => 2,
            Phase::Stopping => 3,
        });
        record.put(&self.status);
        record.put(self.voice == Voice::Everything);
    }

    /// To be called with the manager that the environment names.
    pub fn restore(&mut self, record: &mut Reader<'_>) -> Read<()> {
        self.phase = match record.number()? {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Reloading,
            3 => Phase::Stopping,
            _ => return Err(Malformed),
        };
        self.status = record.text()?;
        self.voice = if record.flag()? { Voice::Everything } else { Voice::Nothing };
        Ok(())
    }

    /// The variables to take out of the environment.
    pub fn variables(&self) -> &'static [&'static str] {
        if self.is_managed() { &VARIABLES } else { &[] }
    }

    /// Whether there is a manager that wants to know.
    pub fn is_managed(&self) -> bool {
        self.manager.is_some()
    }

    /// From now on this master speaks for the service.
    pub fn speak(&mut self) {
        self.voice = Voice::Everything;
    }

    /// Has the manager see that this master has become its child.
    pub fn ask_for_adoption(&self) {
        if let Some(Err(error)) = self.manager.as_deref().map(adoption::ask_for) {
            tracing::debug!("Exception while invoking sd_notify(): {error}");
        }
    }

    /// This master ends, and another one is there to go on: the service does not stop.
    pub fn yield_to_successor(&mut self) {
        self.voice = Voice::SignsOfLife;
    }

    /// From now on the master `successor` is what the manager watches. To be told at the very end: nobody
    /// else may give signs of life before.
    pub fn pass_on(&mut self, successor: Pid) {
        let Some(manager) = &self.manager else { return };
        let life = if self.watchdog.is_some() { "WATCHDOG=1\n" } else { "" };
        let told = notify(manager, &format!("{life}MAINPID={successor}"))
            // The manager does not listen to a process that is gone.
            .and_then(|()| adoption::wait_until_heard(manager));
        if let Err(error) = told {
            tracing::debug!("Exception while invoking sd_notify(): {error}");
        }
        self.voice = Voice::Nothing;
    }

    /// A reload begins at `now` (monotonic time).
    pub fn reloading(&mut self, now: Duration) {
        self.reload_failed = false;
        let tells = self.voice == Voice::Everything;
        if tells && matches!(self.phase, Phase::Serving | Phase::Reloading) {
            self.phase = Phase::Reloading;
            "Reloading".clone_into(&mut self.status);
            let micros = now.as_micros();
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS={}", self.status));
        }
    }

    /// The reload that had begun has come to nothing.
    pub fn reload_failed(&mut self) {
        self.reload_failed = true;
    }

    /// Tells what is new about the pool, which is to have `workers` workers.
    pub fn update(&mut self, standing: Standing, workers: usize) {
        if self.voice != Voice::Everything {
            return;
        }
        let phase = match standing {
            Standing::Starting => return,
            Standing::Reloading if self.phase == Phase::Starting => return,
            Standing::Reloading => Phase::Reloading,
            Standing::Serving => Phase::Serving,
            Standing::Stopping => Phase::Stopping,
        };
        let status = match phase {
            Phase::Stopping => "Stopping".to_owned(),
            Phase::Serving => serving(workers, self.reload_failed),
            Phase::Starting | Phase::Reloading => return,
        };
        let news = match phase {
            Phase::Stopping => "STOPPING=1\n".to_owned(),
            _ => format!("READY=1\nMAINPID={}\n", process::getpid()),
        };
        let news = if phase == self.phase { "" } else { &news };
        if !news.is_empty() || status != self.status {
            self.send(&format!("{news}STATUS={status}"));
        }
        (self.phase, self.status) = (phase, status);
    }

    /// When [`Self::beat`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        let watchdog = self.watchdog.as_ref().filter(|_| self.voice != Voice::Nothing);
        watchdog.map(|watchdog| watchdog.due)
    }

    /// Gives a sign of life if one is due.
    pub fn beat(&mut self, now: Duration) {
        let due = self.deadline().is_some_and(|due| now >= due);
        if let Some(watchdog) = self.watchdog.as_mut().filter(|_| due) {
            watchdog.due = now + watchdog.every;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, message: &str) {
        let Some(manager) = &self.manager else { return };
        if let Err(error) = notify(manager, message) {
            tracing::debug!("Exception while invoking sd_notify(): {error}");
        }
    }
}

fn serving(workers: usize, reload_failed: bool) -> String {
    let plural = if workers == 1 { "" } else { "s" };
    let failed = if reload_failed { "; the last reload failed, see the error log" } else { "" };
    format!("Serving with {workers} worker{plural}{failed}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    const PID: i32 = 42;

    /// A manager and what it gets.
    struct Manager {
        socket: UnixDatagram,
        _place: tempfile::TempDir,
        service: Service,
    }

    impl Manager {
        fn new(variables: &[(&str, &str)]) -> Self {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("notify");
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let variable = |name: &str| {
                let all = [&[("NOTIFY_SOCKET", path.to_str().unwrap())], variables].concat();
                let found = all.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let service = Service::read(&variable, Pid::new(PID).unwrap(), true);
            Self { socket, _place: place, service }
        }

        fn heard(&self) -> Vec<String> {
            let mut buffer = [0; 300];
            std::iter::from_fn(|| self.socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()))
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .collect()
        }
    }

    fn ready(status: &str) -> String {
        format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id())
    }

    #[test]
    fn each_change_is_told_once() {
        let mut manager = Manager::new(&[]);
        let service = &mut manager.service;
        service.update(Standing::Starting, 2);
        service.reloading(Duration::from_secs(1));
        service.update(Standing::Reloading, 2);
        for workers in [2, 2, 1] {
            service.update(Standing::Serving, workers);
        }
        service.reloading(Duration::from_millis(1500));
        service.update(Standing::Reloading, 2);
        service.update(Standing::Serving, 2);
        service.reloading(Duration::from_secs(2));
        service.reload_failed();
        service.update(Standing::Serving, 2);
        service.update(Standing::Stopping, 2);
        service.update(Standing::Stopping, 2);
        assert_eq!(
            manager.heard(),
            [
                ready("Serving with 2 workers"),
                "STATUS=Serving with 1 worker".to_owned(),
                "RELOADING=1\nMONOTONIC_USEC=1500000\nSTATUS=Reloading".to_owned(),
                ready("Serving with 2 workers"),
                "RELOADING=1\nMONOTONIC_USEC=2000000\nSTATUS=Reloading".to_owned(),
                ready("Serving with 2 workers; the last reload failed, see the error log"),
                "STOPPING=1\nSTATUS=Stopping".to_owned(),
            ]
        );
    }

    #[test]
    fn the_watchdog_hears_in_time_if_it_listens_to_this_process() {
        let mut manager = Manager::new(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "42")]);
        let at = |millis| Duration::from_millis(millis);
        assert_eq!(manager.service.deadline(), Some(at(0)));
        manager.service.beat(at(10_000));
        assert_eq!(manager.service.deadline(), Some(at(11_500)));
        manager.service.beat(at(11_499));
        manager.service.beat(at(11_500));
        assert_eq!(manager.heard(), ["WATCHDOG=1", "WATCHDOG=1"]);
        for (variables, wanted) in [
            (&[("WATCHDOG_USEC", "3000000")][..], true),
            (&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "41")], false),
            (&[("WATCHDOG_USEC", "0")], false),
            (&[("WATCHDOG_USEC", "x")], false),
            (&[], false),
        ] {
            let deadline = Manager::new(variables).service.deadline();
            assert_eq!(deadline.is_some(), wanted, "{variables:?}");
        }
    }

    #[test]
    fn of_two_masters_one_speaks() {
        let mut manager = Manager::new(&[]);
        let service = &mut manager.service;
        service.voice = Voice::Nothing;
        service.update(Standing::Serving, 1);
        service.reloading(Duration::from_secs(1));
        service.speak();
        service.update(Standing::Serving, 1);
        service.yield_to_successor();
        service.update(Standing::Stopping, 1);
        // Whose end nobody else notices here.
        let end = std::thread::spawn({
            let socket = manager.socket.try_clone().unwrap();
            move || {
                socket.set_nonblocking(false).unwrap();
                let mut buffer = [0; 300];
                [(); 3].map(|()| {
                    let count = socket.recv(&mut buffer).unwrap();
                    String::from_utf8_lossy(&buffer[..count]).into_owned()
                })
            }
        });
        service.pass_on(Pid::new(7).unwrap());
        service.update(Standing::Stopping, 1);
        let expected = [ready("Serving with 1 worker"), "MAINPID=7".into(), "BARRIER=1".into()];
        assert_eq!(end.join().unwrap(), expected);
    }

    #[test]
    fn signs_of_life_come_from_the_main_process() {
        let mut manager = Manager::new(&[("WATCHDOG_USEC", "2000000")]);
        let at = Duration::from_secs;
        manager.service.voice = Voice::Nothing;
        assert_eq!(manager.service.deadline(), None);
        manager.service.beat(at(1));
        assert_eq!(manager.heard(), [""; 0]);
        manager.service.speak();
        manager.service.beat(at(2));
        manager.service.yield_to_successor();
        assert_eq!(manager.service.deadline(), Some(at(3)));
        manager.service.beat(at(3));
        assert_eq!(manager.heard(), ["WATCHDOG=1"; 2]);
    }

    #[test]
    fn without_a_manager_nothing_is_done() {
        for place in [None, Some(String::new())] {
            let read = |name: &str| place.clone().filter(|_| name == "NOTIFY_SOCKET");
            let mut service = Service::read(&read, Pid::new(PID).unwrap(), true);
            assert!(!service.is_managed() && service.variables().is_empty());
            service.update(Standing::Serving, 1);
            service.beat(Duration::from_secs(9));
        }
        assert_eq!(Manager::new(&[]).service.variables().len(), 3);
    }
}
