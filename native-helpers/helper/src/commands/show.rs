//! `show`: all that an image holds, as JSON for people and programs.
//!
//! The parts that an option asks for are made from the state's own encoding, field by field, so that
//! nothing of an image can be left out by being forgotten here.

mod command_line;
mod memory;
mod picture;
mod readable;

use serde_json::{Map, Value, json};
use torpor_engine::model::SystemState;
use torpor_image::{Codec, FORMAT_MAJOR, ImageReader, Section, cbor};

pub use self::command_line::command_line;
use self::readable::{Blobs, readable};
use super::opened_image;
use crate::arguments::ShowArguments;
use crate::exit::ErrorCode;
use crate::failure::Failure;
use crate::timestamp;

type Image = ImageReader<std::fs::File>;

pub fn run(arguments: &ShowArguments) -> Result<Value, Failure> {
    let image = opened_image::open(&arguments.image)?;
    let state = opened_image::state(&arguments.image, &image)?;
    let mut shown = summary(&image, &state);
    if let Some(path) = &arguments.picture {
        let picture = picture::of(&state).map_err(|e| opened_image::named(&arguments.image, e))?;
        picture.write(path)?;
        shown.insert("pictureFile".into(), json!({ "path": path, "picture": picture }));
    }
    let wanted = arguments.tree || arguments.memory || arguments.files;
    if wanted {
        let blobs = if arguments.full { Blobs::InFull } else { Blobs::Summarised };
        let mut parts = Parts::of(&image, &arguments.image, blobs)?;
        if arguments.tree {
            shown.insert("tree".into(), parts.tree(&image, &state));
        }
        if arguments.memory {
            shown.insert("memory".into(), parts.memory(&image, &state));
        }
        if arguments.files {
            shown.insert("files".into(), parts.files());
        }
    }
    Ok(Value::Object(shown))
}

fn summary(image: &Image, state: &SystemState) -> Map<String, Value> {
    let info = image.info();
    let root = &state.processes[0];
    let threads: usize = state.processes.iter().map(|p| p.threads.len()).sum();
    let summary = json!({
        "imageId": info.image_id.to_string(),
        "formatVersion": FORMAT_MAJOR,
        "contentHash": image.content_hash().to_string(),
        "createdAt": timestamp::iso(info.created_at_unix_ms),
        "arch": info.arch.to_string(),
        "kernel": state.origin.kernel,
        "hostname": state.origin.hostname,
        "bootId": state.origin.boot_id,
        "parentId": info.parent.map(|p| p.id.to_string()),
        "sizes": {
            "systemStateBytes": image.state_len(),
            "physicalBytes": image.sizes(Section::Physical).bytes(),
            "virtualBytes": image.sizes(Section::Virtual).bytes(),
        },
        "fileBytes": image.file_len(),
        "compress": compression(image),
        "processes": state.processes.len(),
        "threads": threads,
        "rootPid": root.pid,
        "rootComm": root.comm,
        "rootCommand": command_line(image, root),
        "terminal": state.terminal.is_some(),
        "display": state.display,
        "picture": picture::format(state),
        "application": state.meta.get("application").map(|id| json!({ "id": id })),
        "meta": state.meta,
    });
    match summary {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What its blocks are compressed with; "none" too where compression gained nothing.
fn compression(image: &Image) -> &'static str {
    let uses = |codec| image.blocks().iter().any(|block| block.codec == codec);
    if uses(Codec::Zstd) {
        "zstd"
    } else if uses(Codec::Lz4) {
        "lz4"
    } else {
        "none"
    }
}

/// The system state, readable, taken apart as it is asked for.
struct Parts {
    state: Map<String, Value>,
}

impl Parts {
    fn of(image: &Image, path: &std::path::Path, blobs: Blobs) -> Result<Parts, Failure> {
        let bytes = image.state_bytes().map_err(|e| opened_image::named(path, e.into()))?;
        let value = cbor::from_slice(&bytes).map_err(|e| {
            opened_image::named(
                path,
                Failure::new(ErrorCode::Damaged, format!("the system state is damaged: {e}")),
            )
        })?;
        drop(bytes);
        match readable(value, blobs) {
            Value::Object(mut state) => {
                // Nobody is shown a secret: of keys all but their payload.
                let keys = state.get_mut("keys").and_then(Value::as_array_mut);
                for key in keys.into_iter().flatten().filter_map(Value::as_object_mut) {
                    key.remove("payload");
                }
                Ok(Parts { state })
            }
            _ => Err(Failure::new(ErrorCode::Damaged, "the system state is not a map")),
        }
    }

    fn processes(&mut self) -> Vec<&mut Map<String, Value>> {
        let list = self.state.get_mut("processes").and_then(Value::as_array_mut);
        list.into_iter().flatten().filter_map(Value::as_object_mut).collect()
    }

    /// Takes the mappings out of the processes.
    fn memory(&mut self, image: &Image, state: &SystemState) -> Value {
        let mut address_spaces = Vec::new();
        for process in self.processes() {
            let pid = process.get("pid").cloned().unwrap_or_default();
            let mm = process.get_mut("mm").and_then(Value::as_object_mut);
            if let Some(mm) = mm
                && let Some(mappings) = mm.remove("mappings")
            {
                let space = mm.get("space").cloned().unwrap_or_default();
                address_spaces.push(json!({ "pid": pid, "space": space, "mappings": mappings }));
            }
        }
        let described =
            self.state.remove("spaces").and_then(|v| if let Value::Array(a) = v { Some(a) } else { None });
        json!({
            "sections": memory::sections(image),
            "spaces": memory::spaces(image, described.unwrap_or_default()),
            "addressSpaces": address_spaces,
            "blocks": memory::blocks(image),
            "layout": memory::layout(state),
        })
    }

    /// Takes files and descriptors out.
    fn files(&mut self) -> Value {
        let mut tables = Vec::new();
        for process in self.processes() {
            let pid = process.get("pid").cloned().unwrap_or_default();
            if let Some(descriptors) = process.remove("fds") {
                tables.push(json!({ "pid": pid, "descriptors": descriptors }));
            }
        }
        let mut files = self.state.remove("files").unwrap_or_default();
        for (id, file) in files.as_array_mut().into_iter().flatten().enumerate() {
            if let Some(file) = file.as_object_mut() {
                file.insert("id".into(), id.into());
            }
        }
        json!({ "files": files, "tables": tables })
    }

    /// All the rest: processes, threads, terminal, origin. Mappings and descriptors have their own parts.
    fn tree(&mut self, image: &Image, state: &SystemState) -> Value {
        let mut tree = self.state.clone();
        for part in ["files", "spaces", "meta"] {
            tree.remove(part);
        }
        let processes = tree.get_mut("processes").and_then(Value::as_array_mut);
        for (process, known) in processes.into_iter().flatten().zip(&state.processes) {
            let Some(process) = process.as_object_mut() else { continue };
            process.remove("fds");
            if let Some(mm) = process.get_mut("mm").and_then(Value::as_object_mut) {
                mm.remove("mappings");
            }
            process.insert("commandLine".into(), command_line(image, known).into());
        }
        Value::Object(tree)
    }
}
