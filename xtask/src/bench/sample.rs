//! Times and their percentiles.

use std::time::Duration;

/// Measured times, sorted. Never empty.
#[derive(Debug)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// Takes times in any order.
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "something was measured");
        times.sort_unstable();
        Self(times)
    }

    /// The smallest time that at least `percent` of all times do not exceed (nearest rank), in
    /// milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent)
            .div_ceil(100)
            .clamp(1, self.0.len());
        self.0[rank - 1].as_secs_f64() * 1e3
    }

    /// The median, in milliseconds.
    pub(crate) fn p50_ms(&self) -> f64 {
        self.percentile_ms(50)
    }

    /// Nineteen of twenty were no slower, in milliseconds.
    pub(crate) fn p95_ms(&self) -> f64 {
        self.percentile_ms(95)
    }
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.1} ms (p50), {:.1} ms (p95)",
            self.p50_ms(),
            self.p95_ms()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sample = Sample::new((1..=20).rev().map(Duration::from_millis).collect());
        let percentiles =
            [0, 5, 50, 95, 100].map(|percent| sample.percentile_ms(percent).to_string());
        assert_eq!(percentiles, ["1", "1", "10", "19", "20"]);
        assert_eq!(
            Sample::new(vec![Duration::from_millis(3)])
                .p95_ms()
                .to_string(),
            "3"
        );
    }
}
