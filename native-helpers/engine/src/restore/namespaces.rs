//! The namespaces of an image, made anew: those of users first, in which others are.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::RestoreError;
use crate::model::{FileId, FileKind, Namespace, SystemState};
use crate::own_namespace::{make, make_uts};

/// How deep user namespaces can be nested (user_namespaces(7)).
const MAX_DEPTH: usize = 33;

/// The user namespaces that processes are in.
pub fn users(state: &SystemState) -> Vec<FileId> {
    let is_user = |id: &FileId| {
        let kind = state.files.get(*id as usize).map(|f| &f.kind);
        matches!(kind, Some(FileKind::Namespace(Namespace::User(_))))
    };
    let mut all: Vec<FileId> = state.processes.iter().flat_map(|p| &p.own_namespaces).copied().collect();
    all.retain(is_user);
    all.sort_unstable();
    all.dedup();
    all
}

/// Makes all of them.
pub fn open(state: &SystemState) -> Result<HashMap<FileId, OwnedFd>, RestoreError> {
    let mut made = HashMap::new();
    for id in 0..state.files.len() as FileId {
        one(state, id, &mut made, 0)?;
    }
    Ok(made)
}

fn one(
    state: &SystemState,
    id: FileId,
    made: &mut HashMap<FileId, OwnedFd>,
    depth: usize,
) -> Result<(), RestoreError> {
    let file = state.files.get(id as usize).ok_or(RestoreError::Malformed("a namespace that is none"))?;
    if made.contains_key(&id) || !matches!(file.kind, FileKind::Namespace(_) | FileKind::UtsNamespace { .. })
    {
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Err(RestoreError::Malformed("user namespaces in a circle"));
    }
    let mut owner = None;
    if let Some(above) = state.namespace_owners.get(&id) {
        one(state, *above, made, depth + 1)?;
        let above = made.get(above).ok_or(RestoreError::Malformed("a namespace of no user namespace"))?;
        owner = Some(above.as_fd());
    }
    let new = match &file.kind {
        FileKind::Namespace(namespace) => make(namespace, owner),
        FileKind::UtsNamespace { host, domain } => make_uts(host, domain, owner),
        _ => Err(io::ErrorKind::InvalidData.into()),
    };
    let description = || format!("{} (a namespace of the program's own)", file.description);
    made.insert(id, new.map_err(|source| RestoreError::File { description: description(), source })?);
    Ok(())
}
