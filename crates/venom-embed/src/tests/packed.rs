//! The packed form: made, opened, damaged.

use super::{folder, int8_model};
#[cfg(feature = "bundled-model")]
use crate::packed::Checksum;
use crate::{MiniLm, ModelFolder, Options, PACKED_FILE, Precision, locate, pack};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use venom_core::{EmbedError, Embedder as _};

/// The packed model, made once for all tests.
fn packed() -> &'static [u8] {
    static PACKED: OnceLock<Vec<u8>> = OnceLock::new();
    PACKED.get_or_init(|| pack(&folder()).expect("the model in the cache folder is sound"))
}

/// A folder with nothing but a packed model.
struct Place(PathBuf);

impl Place {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("venom-packed-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(PACKED_FILE), bytes).unwrap();
        Self(path)
    }

    fn folder(&self) -> ModelFolder {
        locate(self.0.to_str().expect("a UTF-8 path"), &[]).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_packed_model_gives_the_vectors_of_its_weights() {
    assert!(packed().len() < 24_000_000, "{} bytes", packed().len());
    let place = Place::new("same", packed());
    let model = MiniLm::open(&place.folder(), &Options::default()).unwrap();
    let texts = ["where are the keys?", "", "naïve 你好"];
    assert_eq!(model.model(), int8_model().model());
    assert_eq!(
        model.embed(&texts).unwrap(),
        int8_model().embed(&texts).unwrap()
    );
}

#[test]
fn the_exact_mode_says_that_it_needs_the_weights() {
    let place = Place::new("exact", packed());
    let options = Options {
        precision: Precision::Float32,
        ..Options::default()
    };
    let error = MiniLm::open(&place.folder(), &options)
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, EmbedError::ModelNotFound(_)), "{error}");
    let says = format!(
        "put model.safetensors and vocab.txt into {}",
        place.0.display()
    );
    assert!(error.to_string().contains(&says), "{error}");
}

#[test]
fn a_damaged_packed_model_is_refused_wherever_the_damage_is() {
    let last = packed().len() - 1;
    for at in [
        0, 8, 12, 16, 40, 44, 60, 100, 128, 300_000, 12_000_000, last,
    ] {
        let mut bytes = packed().to_vec();
        bytes[at] ^= 0x10;
        let place = Place::new(&format!("damaged-{at}"), &bytes);
        check_refused(&place);
    }
    for count in [0, 10, 100, 128, 1_000_000, last] {
        let place = Place::new(&format!("short-{count}"), &packed()[..count]);
        check_refused(&place);
    }
}

#[test]
fn a_packed_model_of_another_version_is_passed_over_where_the_weights_are() {
    let mut bytes = packed().to_vec();
    bytes[8] += 1;
    let place = Place::new("version", &bytes);
    check_refused(&place);
    for file in ["model.safetensors", "vocab.txt"] {
        fs::hard_link(folder().path.join(file), place.0.join(file))
            .or_else(|_| fs::copy(folder().path.join(file), place.0.join(file)).map(drop))
            .unwrap();
    }
    MiniLm::open(&place.folder(), &Options::default()).unwrap();
}

#[track_caller]
fn check_refused(place: &Place) {
    let error = MiniLm::open(&place.folder(), &Options::default())
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, EmbedError::ModelDamaged(_)), "{error}");
    assert!(error.to_string().contains("venom model pack"), "{error}");
}

#[test]
#[cfg(feature = "bundled-model")]
fn a_bundled_model_is_whole_and_needs_no_folder() {
    let Some(bytes) = crate::bundled_model() else {
        println!("skipped: no model was named when this was built (VENOM_PACKED_MODEL)");
        return;
    };
    let mut checksum = Checksum::default();
    checksum.update(bytes);
    checksum.compare().unwrap();
    let found = locate("all-MiniLM-L6-v2", &["/nowhere".into()]).unwrap();
    let model = MiniLm::open(&found, &Options::default()).unwrap();
    let texts = ["where are the keys?"];
    assert_eq!(
        model.embed(&texts).unwrap(),
        int8_model().embed(&texts).unwrap()
    );
}
