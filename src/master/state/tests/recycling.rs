//! Workers that are replaced in time, and those that do not get ready.

use super::*;

fn ready(age: u64) -> Sight {
    Sight { age, phase: Phase::Ready, busy: None, spent: false, memory: None }
}

/// Looks at memory when that is due; all of these workers use so much.
fn sample(bench: &mut Bench, workers: &[(u64, u64)]) -> Vec<Action> {
    bench.now = bench.state.deadline().expect("memory is looked at");
    assert!(bench.state.samples_memory(bench.now));
    let sight = |&(age, memory)| Sight { memory: Some(memory), ..ready(age) };
    bench.on(Event::Seen(workers.iter().map(sight).collect()))
}

fn bounded(workers: usize, recycling: Recycling) -> Bench {
    let mut bench = Bench::serving(workers);
    bench.state.policy.recycling = recycling;
    bench
}

#[test]
fn a_worker_that_uses_too_much_memory_serves_until_another_one_does() {
    let recycling = Recycling { memory: Some(500), ..Recycling::default() };
    let mut bench = bounded(2, recycling);
    // One look, or several with a smaller one between them, are not enough.
    for memory in [501, 501, 500, 501, 501] {
        assert_eq!(sample(&mut bench, &[(1, 10), (2, memory)]), []);
    }
    let actions = sample(&mut bench, &[(1, 10), (2, 600)]);
    assert_eq!(spawned(&actions), [3]);
    assert!(killed(&actions).is_empty());
    let text = "Worker (pid:102) uses more than 500 bytes (max_worker_memory) and is replaced.";
    assert!(logged(&actions, Level::Info, text), "{actions:?}");
    assert!(killed(&sample(&mut bench, &[(1, 10), (2, 600)])).is_empty());
    assert_eq!(killed(&bench.ready(3)), [kill(2, Signal::TERM)]);
    assert!(spawned(&bench.exits(2, 0)).is_empty());
    // A look that was taken too early tells nothing.
    bench.now = bench.state.deadline().unwrap();
    bench.ready(1);
    assert!(bench.state.samples_memory(bench.now));
}

#[test]
fn workers_that_have_handled_their_requests_serve_until_others_do() {
    let mut bench = bounded(3, Recycling { most: 1, ..Recycling::default() });
    let see = |bench: &mut Bench, spent: &[u64], more: &[u64]| {
        let sights = spent.iter().map(|age| Sight { spent: true, ..ready(*age) });
        bench.on(Event::Seen(sights.chain(more.iter().map(|age| ready(*age))).collect()))
    };
    let actions = see(&mut bench, &[2, 3], &[1]);
    assert_eq!(spawned(&actions), [4]);
    let text = "Worker (pid:102) has handled its requests (max_requests) and is replaced.";
    assert!(logged(&actions, Level::Info, text), "{actions:?}");
    assert!(killed(&actions).is_empty());
    let actions = see(&mut bench, &[2, 3], &[1, 4]);
    assert_eq!(killed(&actions), [kill(2, Signal::TERM)]);
    // One at a time.
    assert_eq!(spawned(&see(&mut bench, &[2, 3], &[1, 4])), [5]);
    assert_eq!(killed(&see(&mut bench, &[2, 3], &[1, 4, 5])), [kill(3, Signal::TERM)]);
}

#[test]
fn old_workers_are_replaced_a_few_at_a_time() {
    let lifetime = Some(100 * SECOND);
    let mut bench = bounded(3, Recycling { lifetime, most: 1, ..Recycling::default() });
    let actions = bench.sleep(100 * SECOND);
    assert_eq!(spawned(&actions), [4]);
    let text = "Worker (pid:101) has lived for 100 s (max_worker_lifetime) and is replaced.";
    assert!(logged(&actions, Level::Info, text), "{actions:?}");
    // The others wait, and so does the master.
    assert_eq!(bench.state.deadline(), None);
    let actions = bench.ready(4);
    assert_eq!(killed(&actions), [kill(1, Signal::TERM)]);
    // A replacement that dies is replaced, and the one in its place goes on.
    let actions = bench.on(Event::Seen(Vec::new()));
    assert_eq!(spawned(&actions), [5]);
    bench.exits(5, 1);
    assert_eq!(spawned(&bench.sleep(SECOND)), [6]);
    assert_eq!(killed(&bench.ready(6)), [kill(2, Signal::TERM)]);
}

#[test]
fn lifetimes_differ_by_the_jitter() {
    let lifetime = Some(100 * SECOND);
    let recycling = Recycling { lifetime, jitter: 50 * SECOND, most: 9, ..Recycling::default() };
    let mut bench = bounded(4, recycling);
    let mut ends = Vec::new();
    for _ in 0..4 {
        bench.sleep(150 * SECOND);
        ends.push(bench.now);
    }
    assert!(ends.windows(2).all(|pair| pair[0] + 2 * SECOND < pair[1]), "{ends:?}");
    assert_eq!(bench.state.outgoing(), 4);
}

#[test]
fn nobody_is_replaced_during_a_reload_or_in_a_pool_that_is_to_be_empty() {
    let lifetime = Some(100 * SECOND);
    let recycling = Recycling { lifetime, most: 1, ..Recycling::default() };
    let mut bench = bounded(1, recycling.clone());
    bench.signal(Signal::HUP);
    let policy = Policy { recycling, ..policy(1) };
    assert_eq!(spawned(&bench.on(Event::ConfigRead(policy))), [2]);
    bench.now += 200 * SECOND;
    assert!(spawned(&bench.on(Event::Seen(Vec::new()))).is_empty());
    let actions = bench.ready(2);
    assert_eq!(killed(&actions), [kill(1, Signal::TERM)]);
    // It took its time to get ready.
    assert_eq!(spawned(&actions), [3]);
    bench.exits(1, 0);
    bench.state.policy.daemon = true;
    let both = [kill(2, Signal::TERM), kill(3, Signal::TERM)];
    assert_eq!(killed(&bench.signal(Signal::WINCH)), both);
    assert!(spawned(&bench.exits(2, 0)).is_empty());
}

#[test]
fn a_worker_that_does_not_get_ready_is_ended() {
    let mut bench = Bench::start(1);
    bench.state.policy.boot_timeout = Some(20 * SECOND);
    let actions = bench.sleep(20 * SECOND);
    assert!(logged(&actions, Level::Critical, "WORKER TIMEOUT (pid:101)"));
    let text = "Worker (pid:101) has been starting for 20.0 s (worker_boot_timeout 20 s)";
    assert!(logged(&actions, Level::Error, text), "{actions:?}");
    assert_eq!(killed(&actions), [kill(1, Signal::ABRT)]);
    assert!(logged(&actions, Level::Warning, "was not ready in time: the next one is started in"));
    // It is not the status that decides whether the server goes on.
    bench.exits(1, 3);
    assert_eq!(spawned(&bench.sleep(SECOND)), [2]);
    assert_eq!(bench.ready(2), []);
}

#[test]
fn a_reload_whose_workers_do_not_get_ready_fails() {
    let mut bench = Bench::serving(1);
    bench.signal(Signal::HUP);
    let policy = Policy { boot_timeout: Some(20 * SECOND), ..policy(1) };
    assert_eq!(spawned(&bench.on(Event::ConfigRead(policy))), [2]);
    let actions = bench.sleep(20 * SECOND);
    assert_eq!(killed(&actions), [kill(2, Signal::ABRT)]);
    assert!(actions.contains(&Action::Rollback));
    assert!(logged(&actions, Level::Error, "The reload failed"));
    assert!(spawned(&bench.exits(2, 1)).is_empty());
}
