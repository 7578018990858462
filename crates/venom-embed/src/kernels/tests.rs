//! Every kernel against the definition.

use super::{Activations, BLOCK_ROWS, Kernel, STEP_INPUTS, Step, Sums};
use proptest::collection::vec;
use proptest::prelude::*;

#[track_caller]
fn check(rows: &[Vec<Activations>], panel: &[Step], before: i32) {
    let rows: Vec<&[Activations]> = rows.iter().map(Vec::as_slice).collect();
    let mut expected: Vec<Sums> = vec![[before; 64]; rows.len()];
    Kernel::Scalar.multiply(&rows, panel, panel, &mut expected);
    for kernel in Kernel::available() {
        let mut found: Vec<Sums> = vec![[before; 64]; rows.len()];
        kernel.multiply(&rows, panel, panel, &mut found);
        assert!(
            found == expected,
            "{kernel:?}: {} rows, {} steps",
            rows.len(),
            panel.len()
        );
    }
}

proptest! {
    #[test]
    fn every_kernel_equals_the_scalar_one(
        steps in 0..140_usize,
        rows in 0..=BLOCK_ROWS,
        bytes in vec(any::<u8>(), 140 * 4 * 6..=140 * 4 * 6),
        weights in vec(any::<[[u8; 32]; 8]>(), 140..=140),
        before in -1_000_000..1_000_000_i32,
    ) {
        let (fours, _) = bytes.as_chunks::<STEP_INPUTS>();
        let rows: Vec<_> = (0..rows).map(|row| fours[row * steps..][..steps].to_vec()).collect();
        let step = |halves: &[[u8; 32]; 8]| -> Step {
            let (lines, _) = halves.as_flattened().as_chunks::<64>();
            std::array::from_fn(|line| lines[line])
        };
        let panel: Vec<Step> = weights.iter().take(steps).map(step).collect();
        check(&rows, &panel, before);
    }
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    // Miri takes its time.
    let inputs = if cfg!(miri) { 64 } else { 3072_u16 };
    let steps = usize::from(inputs) / STEP_INPUTS;
    for weight in [i8::MIN, i8::MAX, -1] {
        let panel = vec![[[weight.cast_unsigned(); 64]; 4]; steps];
        check(&vec![vec![[255; 4]; steps]; BLOCK_ROWS], &panel, 0);
        let mut sums = [[0; 64]; 1];
        let row = vec![[255; 4]; steps];
        Kernel::best().multiply(&[row.as_slice()], &panel, &[], &mut sums);
        assert_eq!(sums[0][63], i32::from(inputs) * 255 * i32::from(weight));
    }
}

#[test]
fn names_tell_kernels_apart() {
    let mut names: Vec<_> = Kernel::available().into_iter().map(Kernel::name).collect();
    assert_eq!(names[0], "scalar");
    assert_eq!(names.last(), Some(&Kernel::best().name()));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Kernel::available().len());
}
