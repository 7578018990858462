//! The measures of a BERT encoder.

use std::fmt;

/// The measures of a BERT encoder, as `config.json` of a model gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Components of a token's state, and of a text's vector.
    pub width: usize,
    /// Attention heads per layer.
    pub heads: usize,
    /// Components between the two products of a feed-forward block.
    pub inner_width: usize,
    /// Layers.
    pub layers: usize,
}

/// What becomes of the states of a text's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first one, `[CLS]`.
    FirstToken,
}

/// all-MiniLM-L6-v2, 22.7 million parameters.
pub(crate) const MINILM_L6: Shape = Shape {
    width: 384,
    heads: 12,
    inner_width: 1536,
    layers: 6,
};

impl Shape {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// One sentence: no BERT encoder, or one of other measures than the kernels are made for.
    pub fn from_config(json: &str) -> Result<Self, String> {
        let config: serde_json::Value = serde_json::from_str(json)
            .map_err(|error| format!("config.json is no JSON: {error}"))?;
        let text = |key: &str| config[key].as_str().unwrap_or_default();
        if text("model_type") != "bert" || text("hidden_act") != "gelu" {
            return Err("expected a BERT encoder with GELU in config.json".to_owned());
        }
        let positions = config["position_embedding_type"].as_str();
        let epsilon = config["layer_norm_eps"].as_f64();
        if !matches!(positions, None | Some("absolute")) || !matches!(epsilon, None | Some(1e-12)) {
            return Err(
                "expected absolute positions and a layer_norm_eps of 1e-12 in config.json"
                    .to_owned(),
            );
        }
        let number = |key: &str| {
            let value = config[key].as_u64().and_then(|n| usize::try_from(n).ok());
            value.ok_or_else(|| format!("config.json has no {key}"))
        };
        let shape = Self {
            width: number("hidden_size")?,
            heads: number("num_attention_heads")?,
            inner_width: number("intermediate_size")?,
            layers: number("num_hidden_layers")?,
        };
        shape.check().map(|()| shape)
    }

    /// Components of a head.
    pub(crate) const fn head_width(self) -> usize {
        self.width / self.heads
    }

    /// Whether the kernels are made for these measures: widths of whole panels, heads of 32 or 64
    /// components, and sums that fit 32 bits.
    pub(crate) fn check(self) -> Result<(), String> {
        let fits = matches!(self.width, 384 | 768)
            && matches!(self.layers, 6 | 12)
            && self.heads > 0
            && self.width.is_multiple_of(self.heads)
            && matches!(self.head_width(), 32 | 64)
            && self.inner_width == 4 * self.width;
        if fits {
            return Ok(());
        }
        Err(format!(
            "expected 6 or 12 layers, 384 or 768 wide, with heads of 32 or 64, found {self}"
        ))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            width,
            heads,
            inner_width,
            layers,
        } = self;
        write!(
            f,
            "{layers} layers, {width} and {inner_width} wide, {heads} heads"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"model_type": "bert", "hidden_act": "gelu", "hidden_size": 384,
        "num_attention_heads": 12, "intermediate_size": 1536, "num_hidden_layers": 6}"#;

    #[test]
    fn the_measures_come_from_the_configuration() {
        assert_eq!(Shape::from_config(CONFIG), Ok(MINILM_L6));
        let wide = CONFIG
            .replace("384", "768")
            .replace("1536", "3072")
            .replace(": 6", ": 12");
        let wide = Shape::from_config(&wide).expect("the measures of BERT base");
        assert_eq!((wide.width, wide.layers, wide.head_width()), (768, 12, 64));
    }

    #[test]
    fn what_the_kernels_are_not_made_for_is_refused() {
        for (from, to) in [
            ("bert", "gpt2"),
            ("gelu", "relu"),
            ("384", "512"),
            ("gelu\"", "gelu\", \"layer_norm_eps\": 1e-5"),
            (
                "gelu\"",
                "gelu\", \"position_embedding_type\": \"relative_key\"",
            ),
            (": 12", ": 0"),
            (": 12", ": 7"),
            (": 6", ": 24"),
            ("hidden_size", "size"),
            ("{", "["),
        ] {
            let found = Shape::from_config(&CONFIG.replace(from, to));
            assert!(found.is_err(), "{from} -> {to}: {found:?}");
        }
    }
}
