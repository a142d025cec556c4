//! Counts the words of its standard input, on acre: prints the most frequent ones, then what the counting
//! took.
//!
//!     cargo run --example words <README.md

use std::collections::HashMap;
use std::io::{self, Read, Write};

#[global_allocator]
static GLOBAL: acre::Acre = acre::Acre;

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let mut counts: HashMap<String, usize> = HashMap::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));

    let mut output = io::stdout().lock();
    for (word, count) in words.iter().take(10) {
        writeln!(output, "{count:8} {word}")?;
    }
    let stats = acre::stats();
    writeln!(
        output,
        "{} words, {} different; {} live bytes in {} blocks, {} bytes mapped",
        counts.values().sum::<usize>(),
        counts.len(),
        stats.live,
        stats.small_blocks + stats.large_blocks,
        stats.mapped
    )
}
