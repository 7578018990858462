//! `bench embed`: texts to vectors by Venom and by ONNX Runtime, in one run and by turns.
//!
//! Venom is measured from the text on, ONNX Runtime from the token ids on. Before anything is timed the two
//! have to give the same vectors. With one thread it is the processor time of that thread that counts, in both:
//! other programs do not disturb it by more than what they take of caches and of the core.

mod products;
mod rival;
mod starts;

use super::recall::product::model_folder;
use super::sample::Sample;
use super::{Outcome, step, texts};
use rival::Rival;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use venom_core::Embedder as _;
use venom_core::embedding::dot;
use venom_embed::{MiniLm, ModelFolder, Options, Precision, kernels_here};
use venom_testing::Folder;

/// Lengths of the texts, in tokens.
const TOKENS: [usize; 5] = [8, 32, 64, 128, 256];
/// Texts of a batch.
const BATCH: usize = 32;
/// Texts whose vectors are compared.
const COMPARED: usize = 64;
/// Turns of each engine at single texts, and calls of a turn.
const SINGLE: (usize, usize) = (9, 3);
/// The same at batches.
const BATCHES: (usize, usize) = (3, 1);
/// Pause between two engines where there are several threads: those of ONNX Runtime wait for their next call
/// by turning in circles for some milliseconds, on the core that the next engine is to have.
const PAUSE: Duration = Duration::from_millis(100);
/// Calls of the tokenizer that are measured together.
const TOKENIZED: u32 = 100;

/// Measures and prints the report; `against` also ONNX Runtime.
pub(crate) fn run(against: bool) -> Outcome<()> {
    let folder = model_folder()?;
    let work = Folder::new();
    let venom = Engines::open(&folder)?;
    let mut rival = None;
    if against {
        step("building the model for ONNX Runtime");
        let mut started = Rival::start(&folder.path, work.path())?;
        compare(&venom, &mut started)?;
        rival = Some(started);
    }
    tokenizing(&venom)?;
    for threads in [1, 2] {
        let venom = Engines::with_threads(&folder, threads)?;
        print_times(&venom, rival.as_mut(), threads)?;
    }
    products::report();
    starts::report(&folder)
}

/// The ways in which Venom runs the model.
struct Engines {
    int8: MiniLm,
    /// `None` where there is no AVX2.
    avx2: Option<MiniLm>,
    f32: MiniLm,
}

impl Engines {
    fn open(folder: &ModelFolder) -> Outcome<Self> {
        Self::with_threads(folder, 1)
    }

    fn with_threads(folder: &ModelFolder, threads_per_text: usize) -> Outcome<Self> {
        let open = |precision, kernel: Option<&str>| {
            let options = Options {
                precision,
                kernel: kernel.map(str::to_owned),
                threads_per_text,
            };
            MiniLm::open(folder, &options)
        };
        let has_avx2 = kernels_here().contains(&"avx2");
        Ok(Self {
            int8: open(Precision::Int8, None)?,
            avx2: has_avx2
                .then(|| open(Precision::Int8, Some("avx2")))
                .transpose()?,
            f32: open(Precision::Float32, None)?,
        })
    }
}

/// Prints how near the vectors are to those of ONNX Runtime in f32.
///
/// # Errors
/// If those of the exact modes differ: then times would say nothing.
fn compare(venom: &Engines, rival: &mut Rival) -> Outcome<()> {
    let (mut own, mut exact, mut rivals) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..COMPARED {
        let text = texts::memory(number);
        let ids = vec![venom.f32.token_ids(&text)];
        let reference = &rival.run("f32", 1, &ids, 1)?.vectors[0];
        exact.push(dot(venom.f32.embed(&[&text])?[0].as_slice(), reference));
        own.push(dot(venom.int8.embed(&[&text])?[0].as_slice(), reference));
        rivals.push(dot(&rival.run("int8", 1, &ids, 1)?.vectors[0], reference));
    }
    println!(
        "Cosines to the vectors of ONNX Runtime {} in f32:\n",
        rival.version
    );
    println!("| | mean | worst |\n|---|---|---|");
    for (name, cosines) in [
        ("Venom f32", &exact),
        ("Venom int8", &own),
        ("ONNX Runtime int8", &rivals),
    ] {
        let mean = cosines.iter().sum::<f32>() / COMPARED as f32;
        let worst = cosines.iter().copied().fold(1.0, f32::min);
        println!("| {name} | {mean:.5} | {worst:.5} |");
    }
    if exact.iter().any(|cosine| *cosine < 0.99999) {
        return Err("the two engines do not run the same model".into());
    }
    Ok(())
}

fn print_times(venom: &Engines, mut rival: Option<&mut Rival>, threads: usize) -> Outcome<()> {
    let threads_word = if threads == 1 { "thread" } else { "threads" };
    let kind = if threads == 1 {
        " of processor time"
    } else {
        ""
    };
    println!("\nMilliseconds{kind} (median), {threads} {threads_word}:\n");
    println!(
        "| texts × tokens | Venom int8 | by AVX2 | Venom f32 | ONNX f32 | ONNX int8 | times faster than ONNX f32 | \
         than ONNX int8 | AVX2 than ONNX f32 |\n|---|---|---|---|---|---|---|---|---|"
    );
    for (count, (turns, calls)) in [(1, SINGLE), (BATCH, BATCHES)] {
        for tokens in TOKENS {
            step(&format!(
                "{count} texts of {tokens} tokens, {threads} {threads_word}"
            ));
            let texts: Vec<String> = (0..count)
                .map(|number| text_of(&venom.f32, tokens, number))
                .collect::<Outcome<_>>()?;
            let mut times: [Vec<Duration>; 5] = Default::default();
            for _ in 0..turns {
                take_turn(
                    venom,
                    rival.as_deref_mut(),
                    (threads, calls),
                    &texts,
                    &mut times,
                )?;
            }
            let medians =
                times.map(|times| (!times.is_empty()).then(|| Sample::new(times).p50_ms()));
            print_row(&format!("{count} × {tokens}"), medians);
        }
    }
    Ok(())
}

/// Some calls of each engine: Venom in int8, by AVX2, in f32, ONNX Runtime in f32, in int8.
fn take_turn(
    venom: &Engines,
    rival: Option<&mut Rival>,
    (threads, calls): (usize, usize),
    texts: &[String],
    times: &mut [Vec<Duration>; 5],
) -> Outcome<()> {
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    let own = [Some(&venom.int8), venom.avx2.as_ref(), Some(&venom.f32)];
    let pause = || std::thread::sleep(if threads == 1 { Duration::ZERO } else { PAUSE });
    for (model, times) in own.into_iter().zip(&mut *times) {
        pause();
        for _ in 0..if model.is_some() { calls } else { 0 } {
            let began = now(threads);
            model.map(|model| model.embed(&words)).transpose()?;
            times.push(now(threads).saturating_sub(began));
        }
    }
    if let Some(rival) = rival {
        let ids: Vec<_> = texts.iter().map(|text| venom.f32.token_ids(text)).collect();
        for (precision, times) in ["f32", "int8"].iter().zip(&mut times[3..]) {
            pause();
            times.extend(rival.run(precision, threads, &ids, calls)?.times);
        }
    }
    Ok(())
}

/// The processor time of this thread, which does all the work if there is one; else the time.
fn now(threads: usize) -> Duration {
    let clock = if threads == 1 {
        ClockId::ThreadCPUTime
    } else {
        ClockId::Monotonic
    };
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

fn print_row(name: &str, medians: [Option<f64>; 5]) {
    let number = |value: Option<f64>| value.map_or_else(String::new, |ms| format!("{ms:.2}"));
    let [int8, avx2, _, other, other_int8] = medians;
    let ratio = |a: Option<f64>, b: Option<f64>| number(a.zip(b).map(|(a, b)| a / b));
    let cells: Vec<String> = medians
        .into_iter()
        .map(number)
        .chain([
            ratio(other, int8),
            ratio(other_int8, int8),
            ratio(other, avx2),
        ])
        .collect();
    println!("| {name} | {} |", cells.join(" | "));
}

/// Prints what the tokenizer has of the time of an embedding.
fn tokenizing(venom: &Engines) -> Outcome<()> {
    println!("\n| tokens | tokenizing, µs | of an embedding |\n|---|---|---|");
    for tokens in TOKENS {
        let text = text_of(&venom.f32, tokens, 0)?;
        let mut times: [Vec<Duration>; 2] = Default::default();
        for _ in 0..SINGLE.0 {
            let began = Instant::now();
            (0..TOKENIZED).for_each(|_| drop(venom.int8.token_ids(&text)));
            times[0].push(began.elapsed() / TOKENIZED);
            let began = Instant::now();
            venom.int8.embed(&[&text])?;
            times[1].push(began.elapsed());
        }
        let [own, all] = times.map(|times| Sample::new(times).p50_ms());
        println!(
            "| {tokens} | {:.1} | {:.2} % |",
            1e3 * own,
            100.0 * own / all
        );
    }
    Ok(())
}

/// A made-up text of so many tokens.
fn text_of(model: &MiniLm, tokens: usize, number: usize) -> Outcome<String> {
    let mut text = String::new();
    let source: Vec<String> = (0..64).map(|at| texts::memory(number * 64 + at)).collect();
    let words = source.iter().flat_map(|text| text.split_whitespace());
    for word in words.chain(std::iter::repeat("tea")) {
        let longer = format!("{text} {word}");
        match model.token_ids(&longer).len() {
            count if count == tokens && longer.len() < 16 * tokens => return Ok(longer),
            count if count < tokens => text = longer,
            _ if word == "tea" => return Err("no text of that many tokens".into()),
            _ => {}
        }
    }
    Ok(text)
}
