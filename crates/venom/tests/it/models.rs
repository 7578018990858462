//! Models that are told by the path of their folder: made-up ones, of the other measures.

use crate::{BINARY, search, store, venom};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use venom_testing::{Command, Door as _, Folder, StdioClient};

/// Words of the made-up vocabulary, behind the special tokens.
const WORDS: [&str; 12] = [
    "the", "key", "hangs", "behind", "blue", "kettle", "boat", "leaves", "at", "noon", "##s", ".",
];

/// The measures of a made-up model.
#[derive(Clone, Copy)]
struct Measures {
    width: usize,
    layers: usize,
    /// Whether the first token stands for the text.
    by_first: bool,
}

const DEEP: Measures = Measures {
    width: 384,
    layers: 12,
    by_first: false,
};
const WIDE: Measures = Measures {
    width: 768,
    layers: 6,
    by_first: true,
};

/// Writes a model with weights that look random, and its description.
fn make(folder: &Folder, name: &str, of: Measures) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.join("1_Pooling")).unwrap();
    let inner = 4 * of.width;
    let config = json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": of.width, "intermediate_size": inner,
        "num_attention_heads": 12, "num_hidden_layers": of.layers, "max_position_embeddings": 64,
    });
    let pooling = json!({
        "word_embedding_dimension": of.width,
        "pooling_mode_cls_token": of.by_first, "pooling_mode_mean_tokens": !of.by_first,
    });
    fs::write(path.join("config.json"), config.to_string()).unwrap();
    fs::write(path.join("1_Pooling/config.json"), pooling.to_string()).unwrap();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let vocabulary = [&special[..], &WORDS[..]].concat();
    fs::write(path.join("vocab.txt"), vocabulary.join("\n")).unwrap();
    write_weights(&path.join("model.safetensors"), vocabulary.len(), of);
    path
}

/// The safetensors format: the length of the header, the header in JSON, numbers.
fn write_weights(path: &Path, words: usize, of: Measures) {
    let (width, inner) = (of.width, 4 * of.width);
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    for (name, rows) in [("word", words), ("position", 64), ("token_type", 2)] {
        add(
            format!("embeddings.{name}_embeddings.weight"),
            &[rows, width],
        );
    }
    add("embeddings.LayerNorm.weight".into(), &[width]);
    add("embeddings.LayerNorm.bias".into(), &[width]);
    for layer in 0..of.layers {
        let parts = [
            ("attention.self.query", width, Some(width)),
            ("attention.self.key", width, Some(width)),
            ("attention.self.value", width, Some(width)),
            ("attention.output.dense", width, Some(width)),
            ("attention.output.LayerNorm", width, None),
            ("intermediate.dense", inner, Some(width)),
            ("output.dense", width, Some(inner)),
            ("output.LayerNorm", width, None),
        ];
        for (part, outputs, inputs) in parts {
            let name = format!("encoder.layer.{layer}.{part}");
            let shape: Vec<usize> = [Some(outputs), inputs].into_iter().flatten().collect();
            add(format!("{name}.weight"), &shape);
            add(format!("{name}.bias"), &[outputs]);
        }
    }
    let mut header = json!({});
    let mut end = 0;
    for (name, shape) in &tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header[name] = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
    }
    let header = header.to_string();
    let mut out = BufWriter::new(File::create(path).unwrap());
    out.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    out.write_all(header.as_bytes()).unwrap();
    let mut state = 88_172_645_u32;
    for (name, shape) in &tensors {
        let middle = if name.ends_with("LayerNorm.weight") {
            1.0
        } else {
            0.0
        };
        for _ in 0..shape.iter().product() {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let around = f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0;
            out.write_all(&(middle + 0.05 * around).to_le_bytes())
                .unwrap();
        }
    }
    out.flush().unwrap();
}

fn with_model(folder: &Folder, model: &Path) -> Command {
    Command::new(BINARY, folder.path()).env("EMBEDDING_MODEL", model)
}

fn vectors(folder: &Folder, model: &Path, precision: &str) -> Vec<Vec<f32>> {
    let out = with_model(folder, model)
        .env("VENOM_DATA", folder.join("aside"))
        .env("VENOM_PRECISION", precision)
        .args(["embed"])
        .run_with(b"the key hangs behind the blue kettle.\nboats at noon\n")
        .success();
    let parse = |line| serde_json::from_str(line).unwrap();
    out.lines().map(parse).collect()
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(x, y)| x * y).sum()
}

#[track_caller]
fn check(of: Measures) {
    let folder = Folder::new();
    let model = make(&folder, "made-up", of);
    let mut client = StdioClient::start(with_model(&folder, &model));
    client.initialize(venom_testing::mcp::REVISION);
    let stored = client.call_tool(
        "store_memory",
        &json!({"content": "The boat leaves at noon."}),
    );
    let stored = venom_testing::tool_json(&stored);
    assert_eq!(stored["embedding_dimensions"], of.width);
    store(&mut client, "The key hangs behind the blue kettle.");
    let found = search(&mut client, "The boat leaves at noon.");
    assert_eq!(found[0], "The boat leaves at noon.");
    drop(client);

    let stats = with_model(&folder, &model).args(["stats", "--json"]);
    let stats: Value = serde_json::from_str(&stats.run().success()).unwrap();
    assert_eq!(stats["embedding_dimensions"], of.width);
    assert_eq!(stats["memories"], 2);

    let exact = vectors(&folder, &model, "f32");
    let quick = vectors(&folder, &model, "int8");
    for (exact, quick) in exact.iter().zip(&quick) {
        assert_eq!(exact.len(), of.width);
        let cosine = cosine(exact, quick);
        assert!(cosine > 0.99, "{cosine}");
    }
    assert!(cosine(&exact[0], &exact[1]) < 0.99, "texts differ");

    // Packed it is the same model, also where nothing else is.
    with_model(&folder, &model)
        .args(["model", "pack"])
        .run()
        .success();
    assert_eq!(vectors(&folder, &model, "int8"), quick);
    let alone = folder.join("elsewhere");
    fs::create_dir(&alone).unwrap();
    fs::rename(model.join("model.packed"), alone.join("model.packed")).unwrap();
    assert_eq!(vectors(&folder, &alone, "int8"), quick);
    let found = with_model(&folder, &alone).args(["search", "the boat leaves at noon"]);
    assert!(found.run().success().contains("The boat leaves at noon."));

    // The known model does not read what this one wrote.
    let refused = venom(&folder, ["search", "boat"]).run().failure(69);
    let by = if of.by_first { "cls" } else { "mean" };
    let name = format!("bert-{}x{}-{by} (sha256 ", of.layers, of.width);
    assert!(
        refused.contains(&name) && refused.contains("all-MiniLM-L6-v2"),
        "{refused}"
    );
}

#[test]
fn a_model_of_twelve_layers_works_through_all_doors() {
    check(DEEP);
}

#[test]
fn a_model_of_768_components_works_through_all_doors() {
    check(WIDE);
}

#[test]
fn a_model_that_is_not_supported_says_why() {
    let folder = Folder::new();
    let model = folder.join("made-up");
    fs::create_dir_all(model.join("1_Pooling")).unwrap();
    let config = json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": 384, "intermediate_size": 1536,
        "num_attention_heads": 12, "num_hidden_layers": 12, "max_position_embeddings": 512,
    });
    let write = |name: &str, content: &str| fs::write(model.join(name), content).unwrap();
    let refused = || {
        let refused = with_model(&folder, &model)
            .args(["stats"])
            .run()
            .failure(69);
        assert_eq!(refused.lines().count(), 1, "{refused}");
        refused
    };
    write("config.json", &config.to_string().replace("bert", "mpnet"));
    assert!(
        refused().contains("expected a BERT encoder"),
        "{}",
        refused()
    );
    write("config.json", &config.to_string().replace(":384", ":512"));
    assert!(refused().contains("found 12 layers, 512"), "{}", refused());
    write("config.json", &config.to_string());
    assert!(
        refused().contains("1_Pooling/config.json cannot be read"),
        "{}",
        refused()
    );
    write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_max_tokens": true}"#,
    );
    assert!(
        refused().contains("found pooling_mode_max_tokens"),
        "{}",
        refused()
    );
    write(
        "1_Pooling/config.json",
        r#"{"pooling_mode_cls_token": true}"#,
    );
    write("tokenizer_config.json", r#"{"do_lower_case": false}"#);
    assert!(refused().contains("do_lower_case false"), "{}", refused());
    write("tokenizer_config.json", "{}");
    write(
        "modules.json",
        r#"[{"type": "sentence_transformers.models.Dense"}]"#,
    );
    assert!(refused().contains("models.Dense"), "{}", refused());
    write("modules.json", "[]");
    assert!(
        refused().contains("looked for model.safetensors"),
        "{}",
        refused()
    );
}
