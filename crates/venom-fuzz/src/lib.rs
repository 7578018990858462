//! Fuzzing on the stable toolchain: inputs that were mutated at random for parsers of bytes from outside, as
//! ordinary tests.
//!
//! A [`Target`] first takes every file of its corpus, `tests/corpus/NAME`, and then changed ones until its time is
//! up: [`MS`] milliseconds, 300 if that is not set. An input that leads to an outcome not seen before joins those
//! that are changed further, in memory only. An input that ends in a panic, takes too long or too much memory is kept
//! in the corpus as `crash-HASH`, and so taken at every later run. The seed of a run is told when it begins; with
//! [`SEED`] and the same corpus the same inputs come again. Without a seed it is always the same one, so that what is
//! tested does not depend on chance; `make fuzz` takes a new one each time. Without coverage this finds less than a fuzzer that is
//! guided by it, but it runs wherever the tests do.
//!
//! What ends the whole process (a stack that overflows, memory that is refused) leaves no time to keep the input: run
//! again with the seed that was told and [`KEEP_LAST`].

mod mutate;

use mutate::Mutator;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The variable with the milliseconds for each target; 0 takes the corpus only.
pub const MS: &str = "VENOM_FUZZ_MS";
/// The variable with the seed of a run that is to come again.
pub const SEED: &str = "VENOM_FUZZ_SEED";
/// The variable that has each input written to `last` in its corpus before it is taken, which is slow.
pub const KEEP_LAST: &str = "VENOM_FUZZ_KEEP_LAST";

/// Milliseconds for each target by default.
const MS_DEFAULT: u64 = 300;
/// Longest input by default, in bytes.
const BYTES_MAX: usize = 4 * 1024;
/// A call is too slow if it takes longer each time that it is tried.
const CALL_TIME_MAX: Duration = Duration::from_secs(1);
/// How often a slow call is tried: other tests may have had the processor.
const SLOW_TRIES: usize = 4;
/// A call that does not come back ends the process after this.
const HANG_TIME_MAX: Duration = Duration::from_mins(1);
/// Inputs that are changed further at most, beside the corpus.
const GROWN_MAX: usize = 2_000;

/// A parser under test.
#[derive(Debug)]
pub struct Target<'a> {
    name: &'a str,
    words: Vec<&'a [u8]>,
    seeds: Vec<Vec<u8>>,
    bytes_max: usize,
    memory_max: Option<u64>,
}

impl<'a> Target<'a> {
    /// A target whose corpus is in `tests/corpus/NAME`.
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            words: Vec::new(),
            seeds: Vec::new(),
            bytes_max: BYTES_MAX,
            memory_max: None,
        }
    }

    /// Words that the parser knows, to be put into inputs.
    #[must_use]
    pub fn words(mut self, words: &[&'a str]) -> Self {
        self.words.extend(words.iter().map(|word| word.as_bytes()));
        self
    }

    /// One more input to begin with, for formats whose files are better made than kept.
    #[must_use]
    pub fn seed(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.seeds.push(input.into());
        self
    }

    /// Longest input, in bytes.
    #[must_use]
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// What a call may add to the most memory that this process ever asked for, in bytes. Other threads count too, so
    /// this is for limits far above what tests need. Where the system does not tell, there is none.
    #[must_use]
    pub const fn memory_max(mut self, bytes: u64) -> Self {
        self.memory_max = Some(bytes);
        self
    }

    /// Has `take` take inputs. What it returns is the outcome: inputs with one that is new are changed further.
    ///
    /// # Panics
    /// For an input with which `take` panics, takes too long or too much memory.
    pub fn run<O: Hash>(self, take: impl FnMut(&[u8]) -> O) {
        let number = |name| std::env::var(name).ok()?.trim().parse::<u64>().ok();
        let run = Run {
            corpus: Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../tests/corpus")
                .join(self.name),
            seed: number(SEED).unwrap_or_else(|| {
                let mut hasher = DefaultHasher::new();
                self.name.hash(&mut hasher);
                hasher.finish()
            }),
            budget: Duration::from_millis(number(MS).unwrap_or(MS_DEFAULT)),
            keeps_last: std::env::var_os(KEEP_LAST).is_some(),
            inputs_max: u64::MAX,
        };
        // Past the capture of the test harness: were the process to end, nobody would learn the seed.
        let _ = writeln!(std::io::stderr(), "fuzz {}: {SEED}={}", self.name, run.seed);
        match run.go(&self, take) {
            Ok(taken) => println!("{}: {taken}", self.name),
            Err(found) => panic!("{found}"),
        }
    }
}

/// Where and how long a target is run.
struct Run {
    corpus: PathBuf,
    seed: u64,
    budget: Duration,
    keeps_last: bool,
    inputs_max: u64,
}

impl Run {
    /// Tells how many inputs were taken.
    ///
    /// # Errors
    /// What is wrong with the parser, and where the input is.
    fn go<O: Hash>(
        &self,
        target: &Target<'_>,
        take: impl FnMut(&[u8]) -> O,
    ) -> Result<String, String> {
        let mut caller = Caller {
            take,
            memory_max: target.memory_max,
            watched: Watched::new(self.corpus.clone()),
        };
        let mut pool = Vec::new();
        let mut outcomes = HashSet::new();
        let seeds = target.seeds.iter().enumerate();
        let seeds = seeds.map(|(number, input)| (format!("seed {number}"), input.clone()));
        for (name, input) in seeds.chain(corpus_files(&self.corpus)) {
            let outcome = caller.call(&input);
            outcomes.insert(outcome.map_err(|fault| format!("{name} {fault}"))?);
            pool.push(input);
        }
        if pool.is_empty() {
            pool.push(Vec::new());
        }
        let begun = pool.len();
        let mut mutator = Mutator::new(self.seed, &target.words, target.bytes_max);
        let (started, mut count) = (Instant::now(), 0_u64);
        while started.elapsed() < self.budget && count < self.inputs_max {
            let input = mutator.next(&pool);
            count += 1;
            if self.keeps_last {
                keep(&self.corpus, "last", &input);
            }
            match caller.call(&input) {
                Ok(outcome) => {
                    if outcomes.insert(outcome) && pool.len() < begun + GROWN_MAX {
                        pool.push(input);
                    }
                }
                Err(fault) => {
                    let file = keep_crash(&self.corpus, &input);
                    let seed = self.seed;
                    return Err(format!(
                        "input {count} with {SEED}={seed} {fault}; it is kept as {file}"
                    ));
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let rate = count as f64 / seconds.max(f64::MIN_POSITIVE);
        Ok(format!(
            "{count} inputs in {seconds:.1} s, {rate:.0} a second, {} outcomes, {} of the corpus",
            outcomes.len(),
            begun
        ))
    }
}

/// Files of a corpus by name, with their content.
fn corpus_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    let read = |file: PathBuf| {
        let input = std::fs::read(&file).ok()?;
        Some((file.display().to_string(), input))
    };
    files.into_iter().filter_map(read).collect()
}

/// Keeps an input by its content, and tells where.
fn keep_crash(corpus: &Path, input: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    keep(corpus, &format!("crash-{:016x}", hasher.finish()), input)
}

fn keep(corpus: &Path, name: &str, input: &[u8]) -> String {
    let file = corpus.join(name);
    let written = std::fs::create_dir_all(corpus).and_then(|()| std::fs::write(&file, input));
    match written {
        Ok(()) => file.display().to_string(),
        Err(error) => format!("nothing, since {} {error}: {input:?}", file.display()),
    }
}

/// Calls the parser, and notes whatever must not be.
struct Caller<F> {
    take: F,
    memory_max: Option<u64>,
    watched: Watched,
}

impl<F> Caller<F> {
    /// The hash of the outcome.
    fn call<O: Hash>(&mut self, input: &[u8]) -> Result<u64, String>
    where
        F: FnMut(&[u8]) -> O,
    {
        self.watched.begins(input);
        let memory_before = self.memory_max.and_then(|_| memory_peak());
        let mut fastest = Duration::MAX;
        for _ in 0..SLOW_TRIES {
            let started = Instant::now();
            let outcome = catch_unwind(AssertUnwindSafe(|| (self.take)(input)));
            fastest = fastest.min(started.elapsed());
            let Ok(outcome) = outcome else {
                self.watched.ends();
                return Err("ends in a panic, which is told above".to_owned());
            };
            if fastest <= CALL_TIME_MAX {
                self.watched.ends();
                if let (Some(max), Some(before), Some(after)) =
                    (self.memory_max, memory_before, memory_peak())
                    && after - before > max
                {
                    return Err(format!("takes {} bytes of memory", after - before));
                }
                let mut hasher = DefaultHasher::new();
                outcome.hash(&mut hasher);
                return Ok(hasher.finish());
            }
        }
        self.watched.ends();
        Err(format!("takes {fastest:?}, more than {CALL_TIME_MAX:?}"))
    }
}

/// The most memory that this process ever asked for, in bytes.
fn memory_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmPeak:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// When the call began that has not come back, if there is one, and its input.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

/// What is under way, looked after by a thread.
struct Watched {
    current: Current,
    /// The thread ends with this.
    _alive: Sender<()>,
}

impl Watched {
    fn new(corpus: PathBuf) -> Self {
        let current = Current::default();
        let (alive, ended) = channel();
        let looked_at = current.clone();
        std::thread::spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let current = looked_at.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((since, input)) = &*current
                    && since.elapsed() > HANG_TIME_MAX
                {
                    let file = keep_crash(&corpus, input);
                    let _ = writeln!(
                        std::io::stderr(),
                        "an input does not come back; it is kept as {file}"
                    );
                    std::process::exit(101);
                }
            }
        });
        Self {
            current,
            _alive: alive,
        }
    }

    fn begins(&self, input: &[u8]) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), input.to_vec()));
    }

    fn ends(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A corpus of its own for one test, removed at the end.
    struct Corpus(PathBuf);

    impl Corpus {
        fn new(test: &str) -> Self {
            let name = format!("venom-fuzz-{}-{test}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn run(&self, seed: u64, inputs_max: u64) -> Run {
            Run {
                corpus: self.0.clone(),
                seed,
                budget: Duration::from_mins(1),
                keeps_last: false,
                inputs_max,
            }
        }
    }

    impl Drop for Corpus {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn target() -> Target<'static> {
        Target::new("test").words(&["key", "="]).seed("key=value")
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let corpus = Corpus::new("same");
        let inputs = |seed| {
            let mut inputs = Vec::new();
            let note = |input: &[u8]| {
                inputs.push(input.to_vec());
                input.len()
            };
            corpus.run(seed, 500).go(&target(), note).unwrap();
            inputs
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(7).iter().all(|input| input.len() <= BYTES_MAX));
    }

    #[test]
    fn an_input_that_panics_is_kept_and_taken_first_from_then_on() {
        let corpus = Corpus::new("kept");
        let steps = |input: &[u8]| {
            let steps = ["key=", "key==", "key==="];
            let reached = steps.iter().filter(|step| {
                input
                    .windows(step.len())
                    .any(|part| part == step.as_bytes())
            });
            let reached = reached.count();
            assert!(reached < 3, "planted");
            reached
        };
        let found = corpus.run(1, 2_000_000).go(&target(), steps).unwrap_err();
        assert!(
            found.contains("VENOM_FUZZ_SEED=1") && found.contains("crash-"),
            "{found}"
        );
        let again = corpus.run(2, 0).go(&target(), steps).unwrap_err();
        assert!(again.contains("crash-"), "{again}");
        assert!(corpus.run(2, 0).go(&target(), <[u8]>::len).is_ok());
    }

    #[test]
    fn a_call_that_takes_too_much_is_told() {
        let corpus = Corpus::new("much");
        let slow = |_: &[u8]| std::thread::sleep(CALL_TIME_MAX + Duration::from_millis(1));
        let found = corpus.run(1, 1).go(&target(), slow).unwrap_err();
        assert!(found.contains("more than 1s"), "{found}");
        if memory_peak().is_some() {
            let large = |_: &[u8]| vec![0_u8; 3 << 30].len();
            let found = corpus.run(1, 1).go(&target().memory_max(1 << 30), large);
            assert!(found.unwrap_err().contains("bytes of memory"));
        }
    }
}
