//! For the bench: the throughput of the products of bytes, and the limit of the processor.

use crate::int8_matrix::{Int8Matrix, QuantisedRows, Then};
use crate::kernels::Kernel;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Measurements of which the best counts, as everything else that runs makes it slower only.
const ROUNDS: usize = 60;
/// Instructions of a measurement of the limit.
const INSTRUCTIONS: u32 = 2_000_000;

/// Operations (multiplications and additions) per second of bytes that the best kernel's instructions do on
/// registers alone, on this thread. `None` for kernels without such a measurement.
pub fn int8_peak() -> Option<f64> {
    let kernel = Kernel::best();
    let operations = kernel.work_on_registers(INSTRUCTIONS)?;
    let seconds = best(|| {
        black_box(kernel.work_on_registers(black_box(INSTRUCTIONS)));
    });
    Some(operations as f64 / seconds.as_secs_f64())
}

/// Operations per second of a whole product with `rows` rows, quantisation and bias included, on this
/// thread. `inputs` and `outputs` are multiples of 64.
pub fn product(rows: usize, inputs: usize, outputs: usize) -> f64 {
    let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| (i % 251) as f32).collect() };
    let matrix = Int8Matrix::quantise(&numbers(inputs * outputs), inputs);
    let (states, bias) = (numbers(rows * inputs), numbers(outputs));
    let mut products = vec![0.0; rows * outputs];
    let mut bytes = QuantisedRows::default();
    let kernel = Kernel::best();
    let seconds = best(|| {
        let then = (bias.as_slice(), Then::Nothing);
        matrix.product(kernel, &states, then, &mut products, &mut bytes);
    });
    (2 * rows * inputs * outputs) as f64 / seconds.as_secs_f64()
}

fn best(mut work: impl FnMut()) -> Duration {
    let once = |_| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..ROUNDS).map(once).min().unwrap_or_default()
}
