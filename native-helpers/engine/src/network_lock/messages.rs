//! The words of nf_tables' netlink protocol (include/uapi/linux/netfilter/nf_tables.h) that the lock needs, and no
//! more: a batch of changes, which the kernel makes all or not at all, and what is in the rules of the one chain.

const HEADER: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
/// NFNL_SUBSYS_NFTABLES, and the marks of a batch, which name it.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// NFNL_BATCH_GENID: the generation of all tables that the batch was made for; of any other the kernel refuses it.
const BATCH_GENERATION: u16 = 1;
const NESTED: u16 = 1 << 15;
/// NFPROTO_INET: rules for IPv4 and IPv6 in one table.
const INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// NFT_MSG_*.
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
const GET_ELEMENT: u16 = 13;
const DELETE_ELEMENT: u16 = 14;
const GET_GENERATION: u16 = 16;

/// NF_INET_LOCAL_IN, and before what others have there at the usual priority.
const LOCAL_IN: u32 = 1;
const PRIORITY: i32 = -150;
/// NFT_SET_TIMEOUT.
const SET_TIMEOUT: u32 = 0x10;
/// NFT_REG32_00, where a key begins; and the first of the registers of 16 bytes, for single values.
const KEY_REGISTER: u32 = 8;
const VALUE_REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
/// NFT_META_*.
const META_MARK: u32 = 3;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
/// NFT_CMP_*.
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
/// NFT_PAYLOAD_*.
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const DROP: u32 = 0;

/// One of the two sets: connections by source address and port, destination address and port, each in the network's
/// order and filled up to four bytes.
#[derive(Debug, Clone, Copy)]
pub struct Set {
    pub name: &'static str,
    /// Its number within the batch that makes it.
    id: u32,
    protocol: u8,
    address_len: u32,
    /// Where the addresses are in the packet's header.
    source_at: u32,
    destination_at: u32,
    /// What nft(8) calls the parts: its numbers for ipv4_addr (7), ipv6_addr (8) and inet_service (13), six bits each.
    key_type: u32,
}

pub const IPV4: Set = Set {
    name: "ipv4",
    id: 1,
    protocol: NFPROTO_IPV4,
    address_len: 4,
    source_at: 12,
    destination_at: 16,
    key_type: ((7 << 6 | 13) << 6 | 7) << 6 | 13,
};

pub const IPV6: Set = Set {
    name: "ipv6",
    id: 2,
    protocol: NFPROTO_IPV6,
    address_len: 16,
    source_at: 8,
    destination_at: 24,
    key_type: ((8 << 6 | 13) << 6 | 8) << 6 | 13,
};

impl Set {
    fn key_len(self) -> u32 {
        (self.address_len + 4) * 2
    }
}

/// One message, or several in a row.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: impl FnOnce(&mut Writer)) {
        let at = self.0.len();
        self.0.extend([0; 4]);
        self.0.extend(kind.to_ne_bytes());
        self.0.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.0.extend([0; 8]);
        // struct nfgenmsg
        self.0.extend([family, 0]);
        self.0.extend(resource.to_be_bytes());
        body(self);
        let len = (self.0.len() - at) as u32;
        self.0[at..at + 4].copy_from_slice(&len.to_ne_bytes());
    }

    fn change(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Writer)) {
        self.message(SUBSYSTEM << 8 | kind, flags, INET, 0, body);
    }

    fn raw(&mut self, kind: u16, value: &[u8]) {
        self.0.extend((4 + value.len() as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.raw(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// Numbers are in the network's order here.
    fn word(&mut self, kind: u16, value: u32) {
        self.raw(kind, &value.to_be_bytes());
    }

    fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Writer)) {
        let at = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        body(self);
        let len = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&len.to_ne_bytes());
    }

    /// NFTA_LIST_ELEM with an expression of a rule and its fields.
    fn expression(&mut self, name: &str, fields: impl FnOnce(&mut Writer)) {
        self.nest(1, |w| {
            w.text(1, name);
            w.nest(2, fields);
        });
    }

    /// Goes on where a value of the packet's surroundings is, or is not, what it should be.
    fn meta(&mut self, key: u32, comparison: u32, value: &[u8]) {
        self.expression("meta", |w| {
            w.word(1, VALUE_REGISTER);
            w.word(2, key);
        });
        self.expression("cmp", |w| {
            w.word(1, VALUE_REGISTER);
            w.word(2, comparison);
            w.nest(3, |w| w.raw(1, value));
        });
    }

    fn load(&mut self, register: u32, header: u32, offset: u32, len: u32) {
        self.expression("payload", |w| {
            w.word(1, register);
            w.word(2, header);
            w.word(3, offset);
            w.word(4, len);
        });
    }

    /// Drops what belongs to a connection in the set and is not marked as our own.
    fn rule(&mut self, table: &str, chain: &str, set: Set, own_mark: u32) {
        self.change(NEW_RULE, NLM_F_CREATE, |w| {
            w.text(1, table);
            w.text(2, chain);
            w.nest(4, |w| {
                w.meta(META_NFPROTO, EQUAL, &[set.protocol]);
                w.meta(META_L4PROTO, EQUAL, &[libc::IPPROTO_TCP as u8]);
                w.meta(META_MARK, NOT_EQUAL, &own_mark.to_ne_bytes());
                let mut register = KEY_REGISTER;
                for (header, offset, len) in [
                    (NETWORK_HEADER, set.source_at, set.address_len),
                    (TRANSPORT_HEADER, 0, 2),
                    (NETWORK_HEADER, set.destination_at, set.address_len),
                    (TRANSPORT_HEADER, 2, 2),
                ] {
                    w.load(register, header, offset, len);
                    register += len.div_ceil(4);
                }
                w.expression("lookup", |w| {
                    w.text(1, set.name);
                    w.word(2, KEY_REGISTER);
                    w.word(4, set.id);
                });
                w.expression("immediate", |w| {
                    w.word(1, VERDICT_REGISTER);
                    w.nest(2, |w| w.nest(2, |w| w.word(1, DROP)));
                });
            });
        });
    }

    fn elements(&mut self, kind: u16, flags: u16, table: &str, set: Set, keys: &[&[u8]]) {
        self.change(kind, flags, |w| {
            w.text(1, table);
            w.text(2, set.name);
            w.nest(3, |w| {
                for key in keys {
                    w.nest(1, |w| w.nest(1, |w| w.raw(1, key)));
                }
            });
        });
    }
}

/// A batch around changes. The last of them is to be answered.
fn batch(generation: Option<u32>, changes: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut w = Writer::default();
    w.message(BATCH_BEGIN, 0, 0, SUBSYSTEM, |w| {
        if let Some(generation) = generation {
            w.word(BATCH_GENERATION, generation);
        }
    });
    changes(&mut w);
    w.message(BATCH_END, 0, 0, SUBSYSTEM, |_| {});
    w.0
}

/// Makes the table, its sets, whose elements leave them after a while, and its chain; fails with EEXIST where there
/// is one.
pub fn make_table(table: &str, timeout_ms: u64, own_mark: u32) -> Vec<u8> {
    const CHAIN: &str = "input";
    batch(None, |w| {
        w.change(NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, |w| w.text(1, table));
        for set in [IPV4, IPV6] {
            w.change(NEW_SET, NLM_F_CREATE | NLM_F_EXCL, |w| {
                w.text(1, table);
                w.text(2, set.name);
                w.word(3, SET_TIMEOUT);
                w.word(4, set.key_type);
                w.word(5, set.key_len());
                w.word(10, set.id);
                w.raw(11, &timeout_ms.to_be_bytes());
            });
        }
        w.change(NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL, |w| {
            w.text(1, table);
            w.text(3, CHAIN);
            w.nest(4, |w| {
                w.word(1, LOCAL_IN);
                w.word(2, PRIORITY as u32);
            });
            w.text(7, "filter");
        });
        for set in [IPV4, IPV6] {
            w.rule(table, CHAIN, set, own_mark);
        }
    })
}

/// Puts connections into the sets; fails with ENOENT where there is no table.
pub fn add(table: &str, keys: &[(Set, &[u8])]) -> Vec<u8> {
    batch(None, |w| {
        for (set, key) in keys {
            w.elements(NEW_ELEMENT, NLM_F_CREATE | NLM_F_ACK, table, *set, &[key]);
        }
    })
}

/// Takes one connection out; fails with ENOENT where it is not in.
pub fn remove(table: &str, (set, key): (Set, &[u8])) -> Vec<u8> {
    batch(None, |w| w.elements(DELETE_ELEMENT, NLM_F_ACK, table, set, &[key]))
}

/// Where [`delete_table`] has the generation.
pub const GENERATION_AT: usize = HEADER + 4 + 4;

/// Takes the table away, with all that is in it, where nothing has changed in any table since that generation.
pub fn delete_table(table: &str) -> Vec<u8> {
    batch(Some(0), |w| w.change(DELETE_TABLE, NLM_F_ACK, |w| w.text(1, table)))
}

/// Asks for the generation; the answer has it in its first attribute.
pub fn generation() -> Vec<u8> {
    let mut w = Writer::default();
    w.change(GET_GENERATION, 0, |_| {});
    w.0
}

/// Asks for what is in a set.
pub fn list(table: &str, set: Set) -> Vec<u8> {
    let mut w = Writer::default();
    w.change(GET_ELEMENT, NLM_F_DUMP, |w| {
        w.text(1, table);
        w.text(2, set.name);
    });
    w.0
}

/// An answer, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// NLMSG_ERROR: 0, or an error number.
    Outcome(i32),
    /// NLMSG_DONE.
    End,
    /// NFT_MSG_NEWGEN.
    Generation(u32),
    /// NFT_MSG_NEWSETELEM: so many of a set's elements.
    Elements(usize),
    Other,
}

/// The messages of one datagram.
pub fn answers(mut rest: &[u8]) -> impl Iterator<Item = Answer> {
    const ERROR: u16 = 2;
    const DONE: u16 = 3;
    const NEW_GENERATION: u16 = SUBSYSTEM << 8 | 15;
    const ELEMENTS: u16 = SUBSYSTEM << 8 | NEW_ELEMENT;
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(*rest.first_chunk::<4>()?) as usize;
        let message = rest.get(..len.max(HEADER))?;
        rest = rest.get(len.max(HEADER).next_multiple_of(4)..).unwrap_or_default();
        let body = &message[HEADER..];
        Some(match u16::from_ne_bytes([message[4], message[5]]) {
            ERROR => Answer::Outcome(body.first_chunk().map_or(0, |b| -i32::from_ne_bytes(*b))),
            DONE => Answer::End,
            NEW_GENERATION => {
                let value = body.get(8..12).and_then(|b| b.first_chunk());
                Answer::Generation(value.map_or(0, |b| u32::from_be_bytes(*b)))
            }
            ELEMENTS => Answer::Elements(elements(body.get(4..).unwrap_or_default())),
            _ => Answer::Other,
        })
    })
}

fn elements(rest: &[u8]) -> usize {
    const ELEMENTS: u16 = 3;
    attributes(rest).find(|(kind, _)| *kind == ELEMENTS).map_or(0, |(_, list)| attributes(list).count())
}

fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = rest.first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([head[0], head[1]])).max(4);
        let kind = u16::from_ne_bytes([head[2], head[3]]) & !NESTED;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}
