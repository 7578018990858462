//! How good a ranking is.

use std::collections::{BTreeMap, HashSet};

/// Sums over questions: recall is the share of the relevant memories that were found, nDCG is binary.
#[derive(Debug, Default)]
pub(super) struct Scores {
    questions: usize,
    sums: BTreeMap<&'static str, f64>,
}

impl Scores {
    pub(super) fn add(&mut self, ranked: &[&str], relevant: &HashSet<String>) {
        let is_relevant = |id: &&str| relevant.contains(*id);
        self.questions += 1;
        let mut sum = |name, value: f64| *self.sums.entry(name).or_default() += value;
        for (name, depth) in [("R@1", 1), ("R@5", 5), ("R@10", 10), ("R@20", 20)] {
            let found = ranked
                .iter()
                .take(depth)
                .filter(|id| is_relevant(id))
                .count();
            sum(name, found as f64 / relevant.len().max(1) as f64);
        }
        let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let places = ranked
            .iter()
            .take(10)
            .enumerate()
            .filter(|(_, id)| is_relevant(id));
        let found: f64 = places.map(|(place, _)| gain(place)).sum();
        let best: f64 = (0..relevant.len().min(10)).map(gain).sum();
        sum("nDCG@10", if best > 0.0 { found / best } else { 0.0 });
        let first = ranked.iter().position(is_relevant);
        sum("MRR", first.map_or(0.0, |place| 1.0 / (place as f64 + 1.0)));
    }
}

impl std::fmt::Display for Scores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>5}", self.questions)?;
        for (name, width) in [
            ("R@1", 6),
            ("R@5", 6),
            ("R@10", 6),
            ("R@20", 6),
            ("nDCG@10", 9),
            ("MRR", 6),
        ] {
            let sum = self.sums.get(name).copied().unwrap_or_default();
            write!(
                f,
                "{:>width$.1}",
                100.0 * sum / self.questions.max(1) as f64
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_computed_by_hand() {
        let relevant: HashSet<String> = ["a", "b"].map(str::to_owned).into();
        let mut scores = Scores::default();
        scores.add(&["x", "a", "y"], &relevant);
        // Half found, at place 2 of (1 and 2): 0.6309 / 1.6309.
        let shown = scores.to_string();
        let numbers: Vec<&str> = shown.split_whitespace().collect();
        assert_eq!(
            numbers,
            ["1", "0.0", "50.0", "50.0", "50.0", "38.7", "50.0"]
        );
        scores.add(&["a", "b"], &relevant);
        let shown = scores.to_string();
        let numbers: Vec<&str> = shown.split_whitespace().collect();
        assert_eq!(
            numbers,
            ["2", "25.0", "75.0", "75.0", "75.0", "69.3", "75.0"]
        );
    }
}
