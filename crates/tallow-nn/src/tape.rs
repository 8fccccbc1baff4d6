//! The tape: reverse-mode differentiation over Candle tensors.
//!
//! Candle's own engine allocates zeros and adds for every edge of the graph, on one thread, and
//! holds every activation until the loss is dropped. Here an op of ours, run while a [`Tape`] is
//! recording, leaves a node with its backward; [`Tape::backward`] walks the nodes in reverse, moves
//! each gradient where it belongs, and frees what a node held as soon as it is done with.
//!
//! Candle's ops mix freely with ours: a tensor computed by them is differentiated by Candle's engine,
//! down to the nearest output of a recorded op (which Candle sees as a variable). So a user's layer
//! or loss in plain Candle ops trains without knowing about the tape.
//!
//! Without a tape nothing is recorded: inference keeps no activations.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! # fn main() -> tallow_nn::Result<()> {
//! let w = Var::new(&[3f32], &Device::Cpu)?;
//! let tape = tallow_nn::Tape::start();
//! let loss = w.as_tensor().sqr()?.sum_all()?;
//! let grads = tape.backward(&loss)?;
//! assert_eq!(grads.get(&w).unwrap().to_vec1::<f32>()?, [6.0]);
//! # Ok(()) }
//! ```

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;

use candle_core::{Device, Tensor, TensorId, Var};

use crate::error::{Error, Result};
use crate::kernels::elementwise;

/// The backward of one recorded op. It owns what it saved from the forward pass.
pub trait Backward {
    /// Given the gradient of the output, the gradient of each input, in the order in which the
    /// inputs were recorded; `None` where `needs` is false.
    ///
    /// # Errors
    /// Whatever its kernels fail with.
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>>;
}

/// The result of a kernel, about to become a tensor: values in the order they lie in memory, and
/// the permutation by which the tensor shows them.
pub struct Output {
    data: Vec<f32>,
    memory_shape: Vec<usize>,
    channels_last: bool,
}

impl Output {
    /// A tensor of this shape, row-major.
    pub fn contiguous(data: Vec<f32>, shape: &[usize]) -> Self {
        Output { data, memory_shape: shape.to_vec(), channels_last: false }
    }

    /// An image batch: the values lie as `[n, h, w, c]`, the tensor's shape is `[n, c, h, w]`
    /// (PyTorch's `channels_last` memory format).
    pub fn channels_last(data: Vec<f32>, (n, h, w, c): (usize, usize, usize, usize)) -> Self {
        Output { data, memory_shape: vec![n, h, w, c], channels_last: true }
    }

    fn view(&self, memory: Tensor) -> Result<Tensor> {
        Ok(if self.channels_last { memory.permute((0, 3, 1, 2))? } else { memory })
    }

    /// The tensor, not recorded.
    ///
    /// # Errors
    /// When the number of values does not fit the shape.
    pub fn into_tensor(mut self) -> Result<Tensor> {
        let data = std::mem::take(&mut self.data);
        let memory = Tensor::from_vec(data, self.memory_shape.as_slice(), &Device::Cpu)?;
        self.view(memory)
    }
}

enum Node {
    /// An op of ours.
    Op { output: TensorId, inputs: Vec<Option<TensorId>>, op: Box<dyn Backward> },
    /// A tensor that Candle's ops computed and an op of ours consumed.
    Candle(Tensor),
}

#[derive(Default)]
struct Recording {
    nodes: Vec<Node>,
    /// Outputs and Candle tensors that have a node.
    known: HashSet<TensorId>,
    /// The variable under a channels-last output → that output.
    leaves: HashMap<TensorId, TensorId>,
    /// Variables that are taken for constants.
    frozen: HashSet<TensorId>,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Records the ops that run on this thread, from [`Tape::start`] until [`Tape::backward`] or drop.
pub struct Tape {
    /// A tape belongs to the thread that started it.
    not_send: PhantomData<*const ()>,
}

impl Tape {
    /// Starts recording on this thread. A tape that is already recording is replaced.
    pub fn start() -> Tape {
        Tape::start_without(&[])
    }

    /// Starts recording with some variables taken for constants: what depends on no others is computed as in
    /// inference, without a backward. Where Candle's own ops use them, they may receive gradients all the same.
    pub fn start_without(frozen: &[Tensor]) -> Tape {
        let frozen = frozen.iter().map(Tensor::id).collect();
        RECORDING.with(|r| *r.borrow_mut() = Some(Recording { frozen, ..Recording::default() }));
        Tape { not_send: PhantomData }
    }

    /// The gradients of the scalar `loss` with respect to every variable it depends on.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] if it depends on none; whatever a backward fails with.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        let recording = RECORDING.with(|r| r.borrow_mut().take());
        drop(self);
        let mut recording = recording.ok_or(Error::NotRecorded)?;
        if recording.track(loss).is_none() {
            return Err(Error::NotRecorded);
        }
        let mut grads = HashMap::from([(loss.id(), loss.ones_like()?)]);
        while let Some(node) = recording.nodes.pop() {
            match node {
                Node::Op { output, inputs, op } => {
                    let Some(grad) = grads.remove(&output) else {
                        continue;
                    };
                    let needs: Vec<bool> = inputs.iter().map(Option::is_some).collect();
                    for (id, grad) in inputs.iter().zip(op.backward(&grad, &needs)?) {
                        if let (Some(id), Some(grad)) = (id, grad) {
                            accumulate(&mut grads, *id, grad)?;
                        }
                    }
                }
                Node::Candle(tensor) => {
                    let Some(grad) = grads.remove(&tensor.id()) else {
                        continue;
                    };
                    // d/dt Σ t·g = g: Candle's engine has no other way in for a given gradient.
                    let seeded = if tensor.elem_count() == 1 && tensor.id() == loss.id() {
                        tensor.clone()
                    } else {
                        (&tensor * &grad)?.sum_all()?
                    };
                    let store = seeded.backward()?;
                    for id in store.get_ids() {
                        let Some(grad) = store.get_id(*id) else {
                            continue;
                        };
                        match recording.leaves.get(id) {
                            Some(view) => accumulate(&mut grads, *view, grad.permute((0, 3, 1, 2))?)?,
                            None => accumulate(&mut grads, *id, grad.clone())?,
                        }
                    }
                }
            }
        }
        Ok(Gradients(grads))
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        RECORDING.with(|r| *r.borrow_mut() = None);
    }
}

impl Recording {
    /// The id under which `tensor` gathers its gradient, if it depends on a variable.
    fn track(&mut self, tensor: &Tensor) -> Option<TensorId> {
        let id = tensor.id();
        if self.known.contains(&id) {
            return Some(id);
        }
        if !tensor.track_op() || self.frozen.contains(&id) {
            return None;
        }
        // A plain variable needs no node: its gradient is the result.
        if !tensor.is_variable() {
            self.known.insert(id);
            self.nodes.push(Node::Candle(tensor.clone()));
        }
        Some(id)
    }
}

/// Whether an op on these inputs would be recorded: whether it must save anything for its backward.
pub fn records(inputs: &[&Tensor]) -> bool {
    RECORDING.with(|r| {
        r.borrow().as_ref().is_some_and(|rec| inputs.iter().any(|t| t.track_op() || rec.known.contains(&t.id())))
    })
}

/// Turns a kernel's output into a tensor, and records `op` as its backward if a tape is recording
/// and any input depends on a variable.
///
/// # Errors
/// When the number of values does not fit the shape.
pub fn emit(mut output: Output, inputs: &[&Tensor], op: impl Backward + 'static) -> Result<Tensor> {
    RECORDING.with(|r| {
        let mut recording = r.borrow_mut();
        let Some(recording) = recording.as_mut() else {
            return output.into_tensor();
        };
        let inputs: Vec<_> = inputs.iter().map(|t| recording.track(t)).collect();
        if inputs.iter().all(Option::is_none) {
            return output.into_tensor();
        }
        let data = std::mem::take(&mut output.data);
        // A variable, so that Candle's ops on it are tracked down to it and no further.
        let leaf = Var::from_vec(data, output.memory_shape.as_slice(), &Device::Cpu)?.into_inner();
        let tensor = output.view(leaf.clone())?;
        if output.channels_last {
            recording.leaves.insert(leaf.id(), tensor.id());
        }
        recording.known.insert(tensor.id());
        recording.nodes.push(Node::Op { output: tensor.id(), inputs, op: Box::new(op) });
        Ok(tensor)
    })
}

fn accumulate(grads: &mut HashMap<TensorId, Tensor>, id: TensorId, grad: Tensor) -> Result<()> {
    let sum = match grads.remove(&id) {
        Some(before) => elementwise::add_gradients(&before, &grad)?,
        None => grad.detach(),
    };
    grads.insert(id, sum);
    Ok(())
}

/// The gradients that [`Tape::backward`] found, by variable.
#[derive(Debug, Default)]
pub struct Gradients(HashMap<TensorId, Tensor>);

impl Gradients {
    /// The gradient of a variable, if the loss depends on it.
    pub fn get(&self, variable: &Tensor) -> Option<&Tensor> {
        self.0.get(&variable.id())
    }

    /// Removes and returns the gradient of a variable.
    pub fn remove(&mut self, variable: &Tensor) -> Option<Tensor> {
        self.0.remove(&variable.id())
    }

    /// Puts a gradient in a variable's place, as gradient clipping and accumulation do.
    pub fn insert(&mut self, variable: &Tensor, grad: Tensor) {
        self.0.insert(variable.id(), grad);
    }
}
