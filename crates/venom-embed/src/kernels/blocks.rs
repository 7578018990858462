//! What every kernel has around what it does with its registers: the loops, and a type that proves that the
//! processor can run it.

/// Defines `multiply_block` for a module with
///
/// - `GROUPS`: how often the columns of a panel are gone through, a part of them at a time,
/// - `zero`: a register of sums,
/// - `load`: the weights of a group's columns in a step, some registers,
/// - `spread`: four activations of a row, to all lanes of a register,
/// - `dot`: the products of both, added to sums,
/// - `store`: the sums of a row for the columns of a group,
/// - `fetch`: asks for a step to be brought nearer.
///
/// All are functions with the same instructions as this one, so they are compiled into it. All sums of a
/// group stay in registers until the end. (Loops throughout: a closure in place of one would not be compiled
/// for these instructions.)
macro_rules! multiply_block {
    ($instructions:literal, $activations:ty) => {
        #[target_feature(enable = $instructions)]
        pub(super) fn multiply_block<const ROWS: usize>(
            rows: [&[$activations]; ROWS],
            panel: &[Step],
            soon: &[Step],
            sums: &mut [Sums; ROWS],
        ) {
            assert!(rows.iter().all(|row| row.len() == panel.len()));
            for group in 0..GROUPS {
                let mut totals = [[zero(); _]; ROWS];
                for (at, step) in panel.iter().enumerate() {
                    let weights = load(step, group);
                    if group == 0
                        && let Some(step) = soon.get(at)
                    {
                        fetch(step);
                    }
                    for (totals, row) in totals.iter_mut().zip(&rows) {
                        // SAFETY: rows are as long as the panel, asserted above. A check per step is a
                        // tenth of the time.
                        let activations = spread(unsafe { *row.get_unchecked(at) });
                        for (total, weights) in totals.iter_mut().zip(weights) {
                            *total = dot(*total, activations, weights);
                        }
                    }
                }
                for (totals, sums) in totals.into_iter().zip(&mut *sums) {
                    store(totals, group, sums);
                }
            }
        }
    };
}
pub(super) use multiply_block;

/// Defines a type whose values are proofs: there is none where `$found` finds nothing, that is on a processor
/// without the instructions of `$multiply`, and that is what makes calling it sound.
macro_rules! proof {
    ($(#[$doc:meta])* $name:ident($inner:ty), $found:expr, $multiply:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(pub(super) $inner);

        impl $name {
            pub(super) fn detect() -> Option<Self> {
                $found.map(Self)
            }

            pub(super) fn multiply<const ROWS: usize>(
                self,
                rows: [&[Activations]; ROWS],
                panel: &[Step],
                soon: &[Step],
                sums: &mut [Sums; ROWS],
            ) {
                // SAFETY: a value of this type exists only where the instructions were detected.
                unsafe { $multiply(rows, panel, soon, sums) }
            }
        }
    };
}
pub(super) use proof;
