//! Measures opening and embedding on one thread: `cargo run --release -p venom-embed --example speed
//! FOLDER [int8|f32] [KERNEL] [THREADS]`, the folder being that of the model. Prints medians in milliseconds.

use std::time::Instant;
use venom_core::Embedder;
use venom_embed::{MiniLm, Options, locate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let folder = words.next().ok_or("expected the model's folder")?;
    let folder = locate(&folder, &[])?;
    let mut options = Options::default();
    if let Some(precision) = words.next() {
        options.precision = precision.parse()?;
    }
    options.kernel = words.next();
    if let Some(threads) = words.next() {
        options.threads_per_text = threads.parse()?;
    }
    let open_ms = median_ms(9, || MiniLm::open(&folder, &options).map(drop))?;
    println!("open            {open_ms:8.1} ms");
    let model = MiniLm::open(&folder, &options)?;
    println!("memory          {:>8}", memory("VmRSS:"));
    println!("memory, peak    {:>8}", memory("VmHWM:"));
    for tokens in [8, 32, 64, 128, 256] {
        let text = "river ".repeat(tokens - 2);
        let embed_ms = median_ms(51, || model.embed(&[&text]).map(drop))?;
        println!("{tokens:3} tokens      {embed_ms:8.2} ms");
    }
    let texts = vec!["a short note about one river and its old stone bridge"; 64];
    let batch_ms = median_ms(9, || model.embed(&texts).map(drop))?;
    println!(
        "64 short texts  {batch_ms:8.2} ms, {:.2} ms each",
        batch_ms / 64.0
    );
    let long = "The river rose, slowly. ".repeat(200 * 1024 / 24);
    let start = Instant::now();
    let passages = model.embed_passages(&[&long])?[0].len();
    println!("200 KiB of text {:8.0} ms, {passages} passages", ms(start));
    println!("memory, peak    {:>8}", memory("VmHWM:"));
    Ok(())
}

/// The median time of `rounds` calls.
fn median_ms<E>(rounds: usize, mut call: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = Instant::now();
        call()?;
        times.push(ms(start));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[rounds / 2])
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// A line of the kernel's account of this process, as on Linux.
fn memory(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or("unknown").trim().to_owned()
}
