//! Model-based test: seeded random operations with restarts, a store against [`MemoryMap`].

mod spaces;

use super::doubles::{HashEmbedder, MemoryMap};
use super::samples::{self, Rng};
use crate::backup::{Backup, BackupNote};
use crate::embedding::{Passage, PassageSpan};
use crate::history::Cause;
use crate::memory::{
    Content, Duplicates, MemoryChange, MemoryId, Origin, RequestKey, SessionName, Speaker, Tags,
    Verdict,
};
use crate::ports::{MemoryRecord, MemoryStore, MemoryUpdate, Search, VersionRestore};
use crate::precautions::Precautions;
use crate::query::{Filter, ListPage, ListQuery};
use crate::recall::{Question, mendable_words};
use crate::source::Source;
use crate::time::Timestamp;

/// Opens the store; receives the one that was open before, which it must close first.
pub type Reopen<'a> = &'a mut dyn FnMut(Option<Box<dyn MemoryStore>>) -> Box<dyn MemoryStore>;

const SPACES: [&str; 3] = ["default", "work", "été"];
const TAGS: [&str; 4] = ["a", "b", "c", "d"];
const SPEAKERS: [Option<&str>; 4] = [None, Some("Anna"), Some("ANNA"), Some("user")];
const SESSIONS: [Option<&str>; 4] = [None, None, Some("one"), Some("two")];
const QUESTIONS: [&str; 5] = [
    "?",
    "green tea",
    "what is Anna's tee",
    "größe 茶",
    "when were lines quoted",
];
const TEXTS: [&str; 8] = [
    "tea",
    "Tea.",
    "the tea",
    "green tea",
    "größe",
    "Was it green? Yesterday it was.",
    "two\nlines here",
    "it's \"quoted\"",
];

/// Runs `steps` operations drawn from `seed` on a store and on a plain map, and compares every
/// answer. The store starts empty, with the model of [`samples::model`]. About one step in twenty
/// closes and opens the store again.
///
/// # Panics
/// If an answer differs; the message has the seed and the step.
pub fn random_operations(seed: u64, steps: usize, reopen: Reopen<'_>) {
    let mut run = Run {
        seed,
        step: 0,
        rng: Rng::new(seed),
        expected: MemoryMap::new(samples::model()),
        store: reopen(None),
        ids: Vec::new(),
    };
    for step in 0..steps {
        run.step = step;
        match run.rng.below(23) {
            0 => run.store = reopen(Some(run.store)),
            1..=6 => run.insert(),
            7 => run.forget(),
            8 => match run.rng.below(5) {
                0 | 1 => run.restore(),
                2 | 3 => run.judge(),
                _ => run.erase(),
            },
            9 => run.update(),
            10 => match run.rng.below(2) {
                0 => run.update(),
                _ => run.restore_version(),
            },
            11 => match run.rng.below(2) {
                0 => run.get(),
                _ => run.history(),
            },
            12 => run.list(),
            13 => {
                run.stats();
                run.backups();
            }
            20..=22 => run.change_spaces(),
            _ => run.search(),
        }
    }
}

struct Run {
    seed: u64,
    step: usize,
    rng: Rng,
    expected: MemoryMap,
    store: Box<dyn MemoryStore>,
    /// Ids that were tried, stored or not.
    ids: Vec<MemoryId>,
}

impl Run {
    /// Answers must be equal; of errors, the text.
    #[track_caller]
    fn same<T: std::fmt::Debug + PartialEq>(
        &self,
        what: &str,
        ask: impl Fn(&dyn MemoryStore) -> Result<T, crate::StoreError>,
    ) {
        let got = ask(self.store.as_ref()).map_err(|e| e.to_string());
        let expected = ask(&self.expected).map_err(|e| e.to_string());
        let (seed, step) = (self.seed, self.step);
        assert_eq!(got, expected, "{what}, seed {seed}, step {step}");
    }

    fn insert(&mut self) {
        let count = 1 + self.rng.below(4);
        let records: Vec<MemoryRecord> = (0..count).map(|_| self.record()).collect();
        self.ids.extend(records.iter().map(|r| r.memory.id));
        self.same("insert", |store| store.insert(&records));
    }

    /// Ids and keys come from small ranges, so that some repeat.
    fn record(&mut self) -> MemoryRecord {
        let content = self.rng.pick(&TEXTS);
        let digits = 1 + self.rng.bits() % 2_000;
        let mut record = samples::record(digits, content, &[1.0]);
        record.memory.space = samples::space(self.rng.pick(&SPACES));
        record.memory.tags = self.tags();
        record.memory.stored_at = Timestamp::from_micros(self.time_us());
        record.memory.origin = self.origin();
        record.memory.quarantined = self.rng.below(5) == 0;
        record.request = RequestKey(u128::from(self.rng.bits() % 2_000) << 80);
        let end = Content::parse(content).map_or(0, |c| c.as_str().len());
        record.passages = self.passages(end);
        record.duplicates = self.rng.pick(&[Duplicates::Merge, Duplicates::Keep]);
        record
    }

    /// One to three passages, each of all of a text; now and then the same one as always.
    fn passages(&mut self, end: usize) -> Vec<Passage> {
        let same = self.rng.below(2) == 0;
        let count = if same { 1 } else { 1 + self.rng.below(3) };
        let vector = |_| {
            if same {
                samples::vector(&[1.0])
            } else {
                self.rng.vector()
            }
        };
        let passage = |embedding| Passage {
            span: PassageSpan(0..end),
            embedding,
        };
        (0..count).map(vector).map(passage).collect()
    }

    fn tags(&mut self) -> Tags {
        let tags: Vec<&str> = (0..self.rng.below(4))
            .map(|_| self.rng.pick(&TAGS))
            .collect();
        Tags::parse(&tags).expect("at most three short tags")
    }

    fn origin(&mut self) -> Origin {
        let speaker = self.rng.pick(&SPEAKERS).map(Speaker::parse);
        let session = self.rng.pick(&SESSIONS).map(SessionName::parse);
        let occurred = [
            None,
            Some(self.time_us() * 60_000_000),
            Some(self.time_us()),
        ];
        Origin {
            speaker: speaker.map(|name| name.expect("a valid name")),
            session: session.map(|name| name.expect("a valid name")),
            occurred_at: self.rng.pick(&occurred).map(Timestamp::from_micros),
        }
    }

    fn time_us(&mut self) -> i64 {
        i64::try_from(self.rng.below(100)).expect("below 100") - 10
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter::everything_in(samples::space(self.rng.pick(&SPACES)));
        if self.rng.below(2) == 0 {
            filter.tags_any = self.tags().as_slice().to_vec();
        }
        if self.rng.below(4) == 0 {
            filter.tags_all = self.tags().as_slice().to_vec();
        }
        if self.rng.below(4) == 0 {
            filter.tags_none = self.tags().as_slice().to_vec();
        }
        if self.rng.below(4) == 0 {
            filter.since = Some(Timestamp::from_micros(self.time_us()));
        }
        if self.rng.below(4) == 0 {
            filter.until = Some(Timestamp::from_micros(self.time_us()));
        }
        if self.rng.below(4) == 0 {
            filter.speaker = self.origin().speaker;
        }
        if self.rng.below(4) == 0 {
            filter.session = self.origin().session;
        }
        filter
    }

    fn some_ids(&mut self) -> Vec<MemoryId> {
        let mut ids: Vec<MemoryId> = Vec::new();
        for _ in 0..self.rng.below(4) {
            let unknown = samples::id(1 + self.rng.bits() % 2_000);
            let known = self.ids.get(self.rng.below(self.ids.len().max(1)));
            ids.push(*known.unwrap_or(&unknown));
        }
        ids
    }

    fn forget(&mut self) {
        let ids = self.some_ids();
        let key = RequestKey(u128::from(self.rng.bits() % 20));
        let within = self.within();
        self.same("forget", |store| store.forget_within(&ids, &within, key));
    }

    fn restore(&mut self) {
        let ids = self.some_ids();
        let key = RequestKey(u128::from(self.rng.bits() % 20));
        let within = self.within();
        self.same("restore", |store| store.restore_within(&ids, &within, key));
    }

    fn judge(&mut self) {
        let ids = self.some_ids();
        let verdict = self.rng.pick(&[Verdict::Release, Verdict::Discard]);
        self.same("judge", |store| store.judge(&ids, verdict));
        let (before, limit) = (self.some_ids().pop(), ListPage::default());
        self.same("quarantined", |store| store.quarantined(before, limit));
    }

    fn update(&mut self) {
        let Some(id) = self.some_ids().pop() else {
            return;
        };
        let content = Content::parse(self.rng.pick(&TEXTS)).ok();
        let content = content.filter(|_| self.rng.below(2) == 0);
        let end = content.as_ref().map(|text| text.as_str().len());
        let update = MemoryUpdate {
            passages: end.map_or_else(Vec::new, |end| self.passages(end)),
            change: MemoryChange {
                id,
                content,
                tags: (self.rng.below(2) == 0).then(|| self.tags()),
                origin: self.origin(),
                source: Source::default(),
                precautions: Precautions::NONE,
            },
            stored_at: Timestamp::from_micros(self.time_us()),
            request: RequestKey(u128::from(self.rng.bits() % 20)),
        };
        let within = self.within();
        self.same("update", |store| store.update_within(&update, &within));
    }

    fn restore_version(&mut self) {
        let Some(id) = self.some_ids().pop() else {
            return;
        };
        let version = u32::try_from(self.rng.below(4)).expect("below 4");
        let history = self.expected.history(id).ok().flatten();
        let versions = history.map_or_else(Vec::new, |history| history.versions);
        let text = versions.iter().find(|it| it.number == version);
        let end = text.map_or(0, |version| version.content.as_str().len());
        let restore = VersionRestore {
            id,
            version,
            passages: self.passages(end),
            stored_at: Timestamp::from_micros(self.time_us()),
            source: Source::command_line(),
            request: RequestKey(u128::from(self.rng.bits() % 20)),
        };
        self.same("restore version", |store| store.restore_version(&restore));
    }

    /// The states that a memory went through, as the plain map noted them one by one.
    fn history(&mut self) {
        for id in self.some_ids() {
            self.same("history", |store| {
                let history = store.history(id)?;
                Ok(history.map(|mut history| {
                    // By the clock of this machine.
                    history.hidden_at = history.hidden_at.map(|_| Timestamp::from_micros(0));
                    let replaced = history.versions.iter_mut().flat_map(|it| &mut it.replaced);
                    for moved in replaced.filter(|it| it.cause == Cause::Moved) {
                        moved.at = Timestamp::from_micros(0);
                    }
                    history
                }))
            });
            self.same("erased", |store| store.erased(&[id]));
        }
    }

    fn erase(&mut self) {
        let ids = self.some_ids();
        let now = Timestamp::from_micros(self.time_us());
        // How far the files are is no matter of the answer.
        self.same("erase", |store| Ok(store.erase(&ids, now)?.each));
        if self.rng.below(10) == 0 {
            let end = Timestamp::from_micros(i64::MAX);
            self.same("erase due", |store| {
                let mut due = store.erase_due(end, now, 1_000)?;
                // Those of one call were hidden at about the same time.
                due.sort();
                Ok(due)
            });
        }
    }

    fn get(&mut self) {
        let ids = self.some_ids();
        self.same("get", |store| store.get(&ids));
    }

    fn list(&mut self) {
        let page = i64::try_from(1 + self.rng.below(10)).expect("at most 10");
        let query = ListQuery {
            filter: self.filter(),
            all_spaces: self.rng.below(3) == 0,
            limit: ListPage::parse(page).expect("1 to 10"),
            before: self.some_ids().pop(),
        };
        self.same("list", |store| store.list(&query));
    }

    fn search(&mut self) {
        let (vector, filter, limit) = (self.rng.vector(), self.filter(), self.rng.below(25));
        let text = self.rng.pick(&QUESTIONS);
        let question = Question::new(text);
        let vocabulary = HashEmbedder::new();
        let similarity_min = (self.rng.below(4) == 0).then_some(0.1);
        let explain = self.rng.below(2) == 0;
        self.same("search", |store| {
            store.search(&Search {
                question: &question,
                vector: &vector,
                vocabulary: &vocabulary,
                filter: &filter,
                similarity_min,
                limit,
                explain,
            })
        });
        let space = filter.space.clone();
        self.same("speakers", |store| store.speakers(&space));
        let words = mendable_words("greed tea größ teas lines xyz");
        self.same("spellings", |store| store.spellings(&space, &words));
    }

    /// Paths come from a small range, so that some are made again and some removed.
    fn backups(&mut self) {
        let mut paths = || -> Vec<String> {
            let paths = (0..self.rng.below(3)).map(|_| format!("/b/{}", self.rng.below(5)));
            paths.collect()
        };
        let (made, removed) = (paths(), paths());
        let made = made.into_iter().map(|path| Backup {
            path,
            made_at: Timestamp::from_micros(self.time_us()),
        });
        let made = made.collect();
        let note = BackupNote { made, removed };
        self.same("note_backups", |store| store.note_backups(&note));
        self.same("backups", |store| store.backups());
    }

    fn stats(&mut self) {
        let space = samples::space(self.rng.pick(&SPACES));
        self.same("stats", |store| {
            let mut stats = store.stats(&space)?;
            stats.database_bytes = 0;
            stats.location.clear();
            stats.storage.clear();
            Ok(stats)
        });
    }
}
