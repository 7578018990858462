//! The definition of the product, and the kernel for processors that no other is for.

use super::{Activations, Step, Sums};

/// As [`super::Kernel::multiply`].
pub(super) fn multiply<const ROWS: usize>(
    rows: [&[Activations]; ROWS],
    panel: &[Step],
    sums: &mut [Sums; ROWS],
) {
    for (row, sums) in rows.iter().zip(sums) {
        sums.fill(0);
        for (activations, step) in row.iter().zip(panel) {
            let (columns, _) = step.as_flattened().as_chunks::<4>();
            for (sum, weights) in sums.iter_mut().zip(columns) {
                for (activation, weight) in activations.iter().zip(weights) {
                    *sum += i32::from(*activation) * i32::from(weight.cast_signed());
                }
            }
        }
    }
}
