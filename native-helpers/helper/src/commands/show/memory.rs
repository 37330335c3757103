//! The memory of an image: how much there is of what, and where it lies.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use torpor_engine::model::SystemState;
use torpor_image::{BlockEntry, Codec, PAGE_SIZE, Section};

use super::Image;

/// Both sections with their numbers of pages.
pub fn sections(image: &Image) -> Value {
    let section = |section| {
        let sizes = image.sizes(section);
        json!({
            "blocks": sizes.blocks,
            "storedPages": sizes.stored_pages,
            "zeroPages": sizes.zero_pages,
            "parentPages": sizes.parent_pages,
            "bytes": sizes.bytes(),
        })
    };
    json!({ "physical": section(Section::Physical), "virtual": section(Section::Virtual) })
}

#[derive(Default)]
struct Count {
    physical: u64,
    swapped: u64,
    zero: u64,
    file_bytes: u64,
}

/// What each space is, with its pages by section.
pub fn spaces(image: &Image, described: Vec<Value>) -> Value {
    let mut counts: BTreeMap<u32, Count> = BTreeMap::new();
    for (number, block) in image.blocks().iter().enumerate() {
        let count = counts.entry(block.space).or_default();
        let pages = u64::from(block.pages().count_ones());
        match image.section_of(number) {
            Section::Physical => count.physical += pages,
            Section::Virtual => count.swapped += pages,
        }
        count.zero += u64::from(block.zero.count_ones());
        if !block.duplicate {
            count.file_bytes += u64::from(block.stored_len);
        }
    }
    let spaces = described.into_iter().zip(0u32..).map(|(kind, id)| {
        let count = counts.remove(&id).unwrap_or_default();
        json!({
            "id": id,
            "kind": kind,
            "physicalBytes": count.physical * PAGE_SIZE as u64,
            "virtualBytes": count.swapped * PAGE_SIZE as u64,
            "zeroBytes": count.zero * PAGE_SIZE as u64,
            "fileBytes": count.file_bytes,
        })
    });
    spaces.collect()
}

/// How the blocks are stored.
pub fn blocks(image: &Image) -> Value {
    let count = |wanted: fn(&BlockEntry) -> bool| image.blocks().iter().filter(|b| wanted(b)).count();
    json!({
        "all": image.blocks().len(),
        "empty": count(|b| b.codec == Codec::Empty),
        "raw": count(|b| b.codec == Codec::Raw),
        "lz4": count(|b| b.codec == Codec::Lz4),
        "zstd": count(|b| b.codec == Codec::Zstd),
        "inParent": count(|b| b.codec == Codec::InParent),
        "duplicates": count(|b| b.duplicate),
    })
}

/// Mapped bytes of each address space, resident or not.
pub fn layout(state: &SystemState) -> Value {
    let spaces = state.processes.iter().filter_map(|process| {
        let mm = process.mm.as_ref()?;
        // A forged image may hold mappings that end before they begin.
        let mapped = mm.mappings.iter().fold(0u64, |sum, m| sum.saturating_add(m.end.saturating_sub(m.start)));
        Some(json!({ "pid": process.pid, "space": mm.space, "mappings": mm.mappings.len(), "mappedBytes": mapped }))
    });
    spaces.collect()
}
