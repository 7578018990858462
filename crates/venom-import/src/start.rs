//! Where a file begins: bad records before the first good one are left out, a file of nothing else is refused.

use crate::Skipped;

/// Bad records before the first good one, at most: behind them nobody looks for one.
const BAD_MAX: usize = 1_000;

/// What a file begins with.
#[derive(Debug)]
pub(crate) struct Start<T> {
    /// The bad records before the first good one.
    pub(crate) skipped: Vec<Skipped>,
    /// The first good one; `None` if there is no record at all.
    pub(crate) first: Option<T>,
}

/// Why a file is refused at its start.
#[derive(Debug)]
pub(crate) enum NoStart<E> {
    /// It cannot be read.
    Broken(E),
    /// It begins with bad records only: the first of them.
    Bad(Skipped),
}

/// Reads to the first good record.
pub(crate) fn start<T, E>(
    next: &mut impl FnMut() -> Option<Result<Result<T, Skipped>, E>>,
) -> Result<Start<T>, NoStart<E>> {
    let mut skipped = Vec::new();
    while skipped.len() < BAD_MAX {
        match next() {
            Some(Ok(Ok(first))) => {
                let first = Some(first);
                return Ok(Start { skipped, first });
            }
            Some(Ok(Err(bad))) => skipped.push(bad),
            Some(Err(broken)) => return Err(NoStart::Broken(broken)),
            None => break,
        }
    }
    match skipped.into_iter().next() {
        Some(bad) => Err(NoStart::Bad(bad)),
        None => Ok(Start {
            skipped: Vec::new(),
            first: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bad ones were left out and which good one came first, of so many bad ones and a good one.
    fn after(bad: usize) -> Option<(usize, usize)> {
        let mut number = 0;
        let mut next = || {
            number += 1;
            let skipped = || Skipped {
                place: format!("line {number}"),
                why: "it is bad".to_owned(),
            };
            let record = if number > bad {
                Ok(number)
            } else {
                Err(skipped())
            };
            Some(Ok::<_, ()>(record))
        };
        match start(&mut next) {
            Ok(Start { skipped, first }) => Some((skipped.len(), first?)),
            Err(NoStart::Bad(first)) => {
                assert_eq!(first.place, "line 1");
                None
            }
            Err(NoStart::Broken(())) => panic!("it is not broken"),
        }
    }

    #[test]
    fn the_first_good_record_is_looked_for_within_limits() {
        assert_eq!(after(0), Some((0, 1)));
        assert_eq!(after(BAD_MAX - 1), Some((BAD_MAX - 1, BAD_MAX)));
        assert_eq!(after(BAD_MAX), None);
    }
}
