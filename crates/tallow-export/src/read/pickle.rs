//! The part of Python's pickle format that PyTorch's state dicts use, read without running code.
//!
//! A pickle is a program for a stack machine that may call any Python function. Here a function is only a name: the few that
//! state dicts need are understood, and the result of any other is a [`Node::Opaque`]. Nodes lie in one vector and refer to
//! each other by index, so that no nesting can exhaust the stack. An instruction adds at most one node of constant size, and
//! texts are shared: memory grows with the length of the pickle, whatever it repeats.

use std::collections::HashMap;
use std::rc::Rc;

use crate::excerpt::excerpt;

/// The index of a node.
pub(super) type Id = usize;

/// The largest number of nodes, and of entries on the stack: some 500 MB. State dicts have a few thousand.
const MAX_NODES: usize = 10_000_000;
/// The largest number of dimensions of a tensor.
const MAX_RANK: usize = 16;

/// A Python value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Mark,
    None,
    Bool(bool),
    Int(i64),
    Float,
    Text(Rc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class: `torch._utils`, `_rebuild_tensor_v2`.
    Global(Rc<str>, Rc<str>),
    /// A storage by its persistent id: type and key.
    Storage {
        kind: Rc<str>,
        key: Rc<str>,
    },
    /// A view of a storage: the nodes of its fields, which [`Pickled::view`] reads.
    Tensor {
        storage: Id,
        offset: Id,
        size: Id,
        stride: Id,
    },
    /// The result of a call that is not made: the node of the function.
    Opaque(Id),
}

/// The place of a tensor's values in a storage; offset and strides in elements.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub storage: Id,
    pub offset: usize,
    pub size: Vec<usize>,
    pub stride: Vec<usize>,
}

/// The nodes of a pickle and its result.
#[derive(Debug)]
pub(super) struct Pickled {
    pub nodes: Vec<Node>,
    pub root: Id,
    /// The length of the pickle in bytes.
    pub len: usize,
}

impl Pickled {
    /// The entries of a dict with strings as keys; `None` if the node is not a dict.
    pub fn entries(&self, id: Id) -> Option<Vec<(&str, Id)>> {
        let Node::Dict(entries) = self.nodes.get(id)? else { return None };
        let named = entries.iter().filter_map(|&(key, value)| match &self.nodes[key] {
            Node::Text(key) => Some((&**key, value)),
            _ => None,
        });
        Some(named.collect())
    }

    /// The view that a tensor is.
    pub fn view(&self, tensor: Id) -> Result<View, Failure> {
        let Node::Tensor { storage, offset, size, stride } = self.nodes[tensor] else {
            return Err("it is not a tensor".into());
        };
        let count = |id: Id| match self.nodes[id] {
            Node::Int(value) => usize::try_from(value).map_err(|_| format!("{value} where a count is expected")),
            _ => Err(format!("{} where a count is expected", self.describe(id))),
        };
        let counts = |id: Id| match &self.nodes[id] {
            Node::Tuple(items) if items.len() <= MAX_RANK => items.iter().map(|&id| count(id)).collect(),
            Node::Tuple(items) => Err(format!("{} dimensions, more than {MAX_RANK}", items.len())),
            _ => Err(format!("{} where a shape is expected", self.describe(id))),
        };
        Ok(View { storage, offset: count(offset)?, size: counts(size)?, stride: counts(stride)? })
    }

    /// A short description of a value, for errors.
    pub fn describe(&self, id: Id) -> String {
        describe(&self.nodes, id)
    }
}

fn describe(nodes: &[Node], id: Id) -> String {
    match &nodes[id] {
        Node::Opaque(callee) => match &nodes[*callee] {
            Node::Global(module, name) => format!("a Python object of {}", path(module, name)),
            _ => "a Python object".into(),
        },
        Node::Global(module, name) => format!("the Python name {}", path(module, name)),
        Node::Tensor { .. } => "a single tensor".into(),
        Node::Storage { .. } => "a storage".into(),
        Node::Dict(_) => "a dict".into(),
        Node::List(_) | Node::Tuple(_) => "a list".into(),
        Node::Text(text) => format!("the text `{}`", excerpt(text)),
        Node::Int(value) => format!("the number {value}"),
        Node::Float => "a number".into(),
        Node::Bool(value) => value.to_string(),
        Node::None => "None".into(),
        Node::Mark => "a mark of the pickle".into(),
    }
}

fn path(module: &str, name: &str) -> String {
    format!("{}.{}", excerpt(module), excerpt(name))
}

/// The reason why bytes are not a supported pickle.
pub(super) type Failure = String;

/// Reads one pickle from the start of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Result<Pickled, Failure> {
    let mut machine = Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), memo: HashMap::new() };
    let root = machine.run()?;
    Ok(Pickled { nodes: machine.nodes, root, len: machine.at })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    memo: HashMap<usize, Id>,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Id, Failure> {
        loop {
            if self.nodes.len().max(self.stack.len()) > MAX_NODES {
                return Err(format!("it holds more than {MAX_NODES} values"));
            }
            let op = self.take(1)?[0];
            match op {
                b'.' => return self.pop(),
                0x80 => drop(self.take(1)?), // protocol
                0x95 => drop(self.take(8)?), // frame
                b'(' => self.push(Node::Mark),
                b'N' => self.push(Node::None),
                0x88 => self.push(Node::Bool(true)),
                0x89 => self.push(Node::Bool(false)),
                b'J' => self.int(4, true)?,
                b'K' => self.int(1, false)?,
                b'M' => self.int(2, false)?,
                0x8a => {
                    let len = self.length(1)?;
                    self.int(len, true)?;
                }
                b'G' => {
                    self.take(8)?;
                    self.push(Node::Float);
                }
                b'X' => self.text(4)?,
                0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                b'T' | b'B' => self.text(4)?, // bytes: read as text, used only where they are
                b'U' | b'C' => self.text(1)?,
                b')' => self.push(Node::Tuple(vec![])),
                b']' => self.push(Node::List(vec![])),
                b'}' | 0x8f => self.push(Node::Dict(vec![])),
                b't' => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::Tuple(items));
                }
                b'l' => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::List(items));
                }
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push(Node::Dict(pairs(&items)?));
                }
                0x85..=0x87 => {
                    let count = usize::from(op - 0x84);
                    let first = self.stack.len().checked_sub(count).ok_or("a tuple of more than there is")?;
                    let items = self.stack.split_off(first);
                    self.push(Node::Tuple(items));
                }
                b'a' | b'e' => {
                    let items = if op == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
                    let list = self.top()?;
                    match &mut self.nodes[list] {
                        Node::List(list) => list.extend(items),
                        Node::Opaque(_) => {}
                        _ => return Err(format!("items for {}", describe(&self.nodes, list))),
                    }
                }
                0x90 => drop(self.pop_to_mark()?), // items of a set
                b's' | b'u' => {
                    let items = if op == b's' {
                        let value = self.pop()?;
                        vec![self.pop()?, value]
                    } else {
                        self.pop_to_mark()?
                    };
                    let dict = self.top()?;
                    match &mut self.nodes[dict] {
                        Node::Dict(dict) => dict.extend(pairs(&items)?),
                        Node::Opaque(_) => {}
                        _ => return Err(format!("entries for {}", describe(&self.nodes, dict))),
                    }
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Global(module, name));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    match (&self.nodes[module], &self.nodes[name]) {
                        (Node::Text(module), Node::Text(name)) => {
                            let global = Node::Global(module.clone(), name.clone());
                            self.push(global);
                        }
                        _ => return Err("a function without a name".into()),
                    }
                }
                b'R' | 0x81 => {
                    let (args, callee) = (self.pop()?, self.pop()?);
                    let made = self.call(callee, args)?;
                    self.stack.push(made);
                }
                0x92 => {
                    let (_, _, class) = (self.pop()?, self.pop()?, self.pop()?);
                    self.push(Node::Opaque(class));
                }
                // An object's attributes: those of a dict (`_metadata`) say nothing about tensors.
                b'b' => drop(self.pop()?),
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(storage);
                }
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_to_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack.push(top);
                }
                b'q' | b'r' => {
                    let key = self.length(if op == b'q' { 1 } else { 4 })?;
                    let top = self.top()?;
                    self.memo.insert(key, top);
                }
                0x94 => {
                    let (key, top) = (self.memo.len(), self.top()?);
                    self.memo.insert(key, top);
                }
                b'h' | b'j' => {
                    let key = self.length(if op == b'h' { 1 } else { 4 })?;
                    let id = *self.memo.get(&key).ok_or_else(|| format!("no value {key} was put aside"))?;
                    self.stack.push(id);
                }
                other => return Err(format!("instruction {other:#04x} at byte {}", self.at - 1)),
            }
        }
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Failure> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len()).ok_or("it ends too early")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// An unsigned length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<usize, Failure> {
        let bytes = self.take(width)?;
        let value = bytes.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        usize::try_from(value).map_err(|_| "a length that no memory has".into())
    }

    /// A little-endian number; one wider than 64 bits, such as the legacy format's magic number, is truncated.
    fn int(&mut self, width: usize, signed: bool) -> Result<(), Failure> {
        let bytes = self.take(width)?;
        let negative = signed && bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide.iter_mut().zip(bytes).for_each(|(to, &byte)| *to = byte);
        self.push(Node::Int(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn text(&mut self, width: usize) -> Result<(), Failure> {
        let len = self.length(width)?;
        let text = String::from_utf8_lossy(self.take(len)?).into();
        self.push(Node::Text(text));
        Ok(())
    }

    fn line(&mut self) -> Result<Rc<str>, Failure> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or("a name without an end")?;
        let line = String::from_utf8_lossy(&rest[..len]).into();
        self.at += len + 1;
        Ok(line)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn top(&self) -> Result<Id, Failure> {
        self.stack.last().copied().ok_or_else(|| "its stack is empty".into())
    }

    fn pop(&mut self) -> Result<Id, Failure> {
        self.stack.pop().ok_or_else(|| "its stack is empty".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Failure> {
        let mark = self.stack.iter().rposition(|&id| self.nodes[id] == Node::Mark).ok_or("no mark on its stack")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn tuple(&self, id: Id) -> Result<&[Id], Failure> {
        match &self.nodes[id] {
            Node::Tuple(items) => Ok(items),
            _ => Err(format!("arguments that are {}", describe(&self.nodes, id))),
        }
    }

    /// The result of calling `callee`, if the function is known.
    fn call(&mut self, callee: Id, args: Id) -> Result<Id, Failure> {
        let made = match &self.nodes[callee] {
            Node::Global(module, name) => match (&**module, &**name) {
                ("collections", "OrderedDict" | "defaultdict") => Node::Dict(vec![]),
                ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => match *self.tuple(args)? {
                    [storage, offset, size, stride, ..] => Node::Tensor { storage, offset, size, stride },
                    _ => return Err("a tensor with too few arguments".into()),
                },
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                    let tensor = self.tuple(args)?.first().copied();
                    return tensor.ok_or_else(|| "a parameter without a tensor".into());
                }
                ("torch._tensor", "_rebuild_from_type_v2") => match *self.tuple(args)? {
                    [function, _, args, ..] => match &self.nodes[function] {
                        Node::Global(_, name) if &**name == "_rebuild_from_type_v2" => Node::Opaque(function),
                        _ => return self.call(function, args),
                    },
                    _ => return Err("a tensor of a type with too few arguments".into()),
                },
                _ => Node::Opaque(callee),
            },
            _ => Node::Opaque(callee),
        };
        self.nodes.push(made);
        Ok(self.nodes.len() - 1)
    }

    /// `("storage", torch.FloatStorage, key, device, elements[, view])`.
    fn storage(&self, id: Id) -> Result<Node, Failure> {
        let [_, kind, key, _, _, ..] = *self.tuple(id)? else {
            return Err("a storage with too few fields".into());
        };
        match (&self.nodes[kind], &self.nodes[key]) {
            (Node::Global(_, kind), Node::Text(key)) => Ok(Node::Storage { kind: kind.clone(), key: key.clone() }),
            _ => Err("a storage without type or key".into()),
        }
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>, Failure> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => Err("a key without a value".into()),
    }
}
