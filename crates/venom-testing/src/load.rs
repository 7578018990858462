//! Load on a real server: many clients at once, each storing, searching, listing and reading on a
//! connection of its own, some over the legacy transport, with a share of broken requests. Every answer
//! is looked at.
//!
//! What a client asks for follows from the seed; how fast it asks, from the server: each waits for its
//! answer before it asks again (closed loop). Start with [`Loaded::start`] and
//! [`run`].

mod broken;
mod client;
mod server;
mod words;

pub use server::{Loaded, kept};

use client::Client;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Unexpected answers that are kept in words; all are counted.
const WORDS_KEPT: usize = 20;
/// Stack of a client's thread, in bytes: 200 of them are nothing.
const STACK_BYTES: usize = 512 * 1024;

/// The server that is loaded.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its port on loopback.
    pub port: u16,
    /// Tokens that read and write. The clients share them.
    pub tokens: Vec<String>,
    /// A token that may only read.
    pub read_only: String,
}

/// How long every client goes on.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// Until so much time has passed.
    Time(Duration),
    /// Until it has made so many requests.
    Requests(u64),
}

/// What is asked of the server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Clients at once.
    pub clients: usize,
    /// One of so many clients speaks the legacy HTTP+SSE.
    pub stream_every: usize,
    /// How long they go on.
    pub length: Length,
    /// Broken requests among a hundred.
    pub broken_percent: u64,
    /// What a client waits between an answer and its next request.
    pub pause: Duration,
    /// Memories that a client keeps at most: beyond them it forgets its oldest instead of storing.
    /// `None` keeps all.
    pub keep: Option<usize>,
    /// Whether clients say that they come from different addresses, as behind a proxy.
    pub addresses: bool,
    /// What the requests follow from.
    pub seed: u64,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `store_memory`.
    Store,
    /// `search_memory`.
    Search,
    /// `list_memories`.
    List,
    /// `get_memory`.
    Get,
    /// `forget_memory`.
    Forget,
    /// A request that cannot be answered as asked.
    Broken,
}

impl Kind {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Search => "search",
            Self::List => "list",
            Self::Get => "get",
            Self::Forget => "forget",
            Self::Broken => "broken",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Times from the request to its whole answer, of each kind. Requests that met a limit are not in.
    pub times: BTreeMap<Kind, Vec<Duration>>,
    /// Broken requests by what was wrong with them.
    pub broken: BTreeMap<&'static str, u64>,
    /// Answers that told to try again later, by a limit.
    pub limited: u64,
    /// Answers that were not as they have to be.
    pub unexpected: u64,
    /// The first of them in words.
    pub words: Vec<String>,
    /// Searches for a client's own memory by its words, and how many had it among the results.
    pub asked: u64,
    /// See `asked`.
    pub found: u64,
    /// Every memory that was acknowledged and not forgotten: its text by its id.
    pub acknowledged: BTreeMap<String, String>,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Tally {
    /// Requests that were answered, limits and unexpected answers included.
    pub fn requests(&self) -> u64 {
        let answered: usize = self.times.values().map(Vec::len).sum();
        u64::try_from(answered).unwrap_or(u64::MAX) + self.limited + self.unexpected
    }

    /// Counts an answer that was not as it has to be.
    pub fn add_unexpected(&mut self, words: String) {
        self.unexpected += 1;
        if self.words.len() < WORDS_KEPT {
            self.words.push(words);
        }
    }

    fn add(&mut self, other: Self) {
        for (kind, times) in other.times {
            self.times.entry(kind).or_default().extend(times);
        }
        for (what, count) in other.broken {
            *self.broken.entry(what).or_default() += count;
        }
        self.limited += other.limited;
        self.unexpected += other.unexpected;
        self.words.extend(other.words);
        self.words.truncate(WORDS_KEPT);
        self.asked += other.asked;
        self.found += other.found;
        for (id, text) in other.acknowledged {
            if self.acknowledged.insert(id.clone(), text).is_some() {
                self.add_unexpected(format!("two memories were given the id {id}"));
            }
        }
    }
}

/// Runs the plan to its end.
pub fn run(target: &Target, plan: &Plan) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..plan.clients)
            .map(|number| {
                std::thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, move || {
                        Client::new(target, plan, number).run(started)
                    })
                    .expect("the system gives another thread")
            })
            .collect();
        for client in clients {
            tally.add(client.join().expect("a client does not panic"));
        }
    });
    tally.took = started.elapsed();
    tally
}

/// How what is kept differs from what was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Ids that are gone.
    pub lost: Vec<String>,
    /// Ids whose text is another.
    pub altered: Vec<String>,
    /// Ids that nobody was told of.
    pub besides: Vec<String>,
}

impl Difference {
    /// Compares texts by id.
    pub fn between(
        acknowledged: &BTreeMap<String, String>,
        kept: &BTreeMap<String, String>,
    ) -> Self {
        let mut difference = Self::default();
        for (id, text) in acknowledged {
            match kept.get(id) {
                None => difference.lost.push(id.clone()),
                Some(kept) if kept != text => difference.altered.push(id.clone()),
                Some(_) => {}
            }
        }
        let besides = kept.keys().filter(|id| !acknowledged.contains_key(*id));
        difference.besides = besides.cloned().collect();
        difference
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A generator of numbers that look random (splitmix64; Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of several things, of which there is at least one.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        let end = things.len() as u64;
        let place = usize::try_from(self.below(end)).expect("below a length");
        &things[place]
    }
}
