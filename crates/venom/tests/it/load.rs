//! Many clients at once, some of them broken, and a power cut: what was acknowledged is kept.

use crate::BINARY;
use std::time::Duration;
use venom_testing::Folder;
use venom_testing::load::{Difference, Length, Loaded, Plan, run};

#[test]
fn fifty_clients_and_a_power_cut_lose_nothing() {
    let folder = Folder::new();
    let mut loaded = Loaded::start(BINARY.as_ref(), folder.path(), 5, Vec::new());
    let plan = Plan {
        clients: 50,
        stream_every: 5,
        length: Length::Requests(24),
        broken_percent: 25,
        pause: Duration::ZERO,
        keep: None,
        addresses: false,
        seed: 1,
    };
    let tally = run(&loaded.target, &plan);
    assert_eq!(tally.words, [""; 0]);
    assert_eq!((tally.unexpected, tally.limited), (0, 0));
    assert_eq!(tally.requests(), 50 * 24);
    assert!(tally.broken.len() > 20, "{:?}", tally.broken);
    assert!(tally.acknowledged.len() > 150);
    assert_eq!(loaded.kill_and_start(), [""; 0]);
    let difference = Difference::between(&tally.acknowledged, &loaded.kept());
    assert_eq!(difference, Difference::default());
}
