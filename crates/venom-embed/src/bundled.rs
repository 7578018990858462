//! The packed model inside the program.

/// Bytes at a multiple of a line of the cache.
#[repr(align(64))]
struct Aligned<T: ?Sized>(T);

static MODEL: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("VENOM_BUNDLED_MODEL")));

/// The packed model that this program was built with, if it was there then.
pub(crate) fn model() -> Option<&'static [u8]> {
    (!MODEL.0.is_empty()).then_some(&MODEL.0)
}
