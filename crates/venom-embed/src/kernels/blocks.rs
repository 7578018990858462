//! The loops that every kernel has, around what it does with its registers.

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
