//! How far the products of bytes are from what the processor can do.

use venom_embed::measure;

/// Products of the model by name: inputs and outputs.
const PRODUCTS: [(&str, usize, usize); 4] = [
    ("query, key, value", 384, 1152),
    ("attended", 384, 384),
    ("widen", 384, 1536),
    ("narrow", 1536, 384),
];

/// Prints the throughput of the products by the best kernel, beside the processor's limit.
pub(super) fn report() {
    let peak = measure::int8_peak();
    println!(
        "\nProducts in int8, 10^9 operations per second, one thread (the limit: {}):\n",
        match peak {
            Some(peak) => format!("{:.0}", peak / 1e9),
            None => "not measured for this kernel".to_owned(),
        }
    );
    println!("| product | 32 tokens | 128 tokens |\n|---|---|---|");
    for (name, inputs, outputs) in PRODUCTS {
        let cells = [32, 128].map(|rows| {
            let rate = measure::product(rows, inputs, outputs);
            match peak {
                Some(peak) => format!("{:.0} ({:.0} %)", rate / 1e9, 100.0 * rate / peak),
                None => format!("{:.0}", rate / 1e9),
            }
        });
        println!(
            "| {name}, {inputs} × {outputs} | {} | {} |",
            cells[0], cells[1]
        );
    }
}
