//! The parameter store: the parameters and buffers of a model, by name, in the model's order.
//!
//! A *parameter* is trained and receives a gradient; a *buffer* (BatchNorm's running
//! statistics) is saved with the model and does not. A model is built through a [`Builder`],
//! which walks down the names as the model does: `builder.pp("layer1").pp("0").param("weight", …)`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use candle_core::{Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::init::Init;
use crate::packed_weights;
use crate::rng;

/// The most scalars of a model: 8 GB. More is a mistake in its configuration, found before memory is asked for.
const MAX_SCALARS: usize = 1 << 31;

/// A tensor that is saved with the model but not trained. Clones share the value.
#[derive(Debug, Clone)]
pub struct Buffer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    value: RwLock<Tensor>,
    frozen: AtomicBool,
}

impl Buffer {
    /// The current value.
    pub fn get(&self) -> Tensor {
        self.0.value.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Replaces the value.
    pub fn set(&self, value: Tensor) {
        *self.0.value.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = value;
    }

    /// Freezes the buffer, or unfreezes it: BatchNorm normalises by frozen statistics, as in evaluation.
    pub fn freeze(&self, frozen: bool) {
        self.0.frozen.store(frozen, Ordering::Relaxed);
    }

    /// Whether the buffer is frozen.
    pub fn is_frozen(&self) -> bool {
        self.0.frozen.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Clone)]
enum Value {
    Parameter(Var),
    Buffer(Buffer),
}

/// All parameters and buffers of one model, in the order in which the model defines them.
#[derive(Debug)]
pub struct ParamStore {
    entries: Vec<(String, Value)>,
}

impl ParamStore {
    /// Builds a model: `build` receives the root [`Builder`] and defines every parameter through it.
    /// Initial values depend on (`seed`, name, shape) alone.
    ///
    /// # Errors
    /// Errors of `build`; a name that is defined twice.
    pub fn build<M, E: From<Error>>(
        seed: u64,
        device: &Device,
        build: impl FnOnce(&Builder) -> std::result::Result<M, E>,
    ) -> std::result::Result<(M, ParamStore), E> {
        Self::build_from(Some(seed), device, build)
    }

    /// Builds a model with every parameter zero, which costs no time: to count parameters, or to load weights.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_zeroed<M, E: From<Error>>(
        device: &Device,
        build: impl FnOnce(&Builder) -> std::result::Result<M, E>,
    ) -> std::result::Result<(M, ParamStore), E> {
        Self::build_from(None, device, build)
    }

    fn build_from<M, E: From<Error>>(
        seed: Option<u64>,
        device: &Device,
        build: impl FnOnce(&Builder) -> std::result::Result<M, E>,
    ) -> std::result::Result<(M, ParamStore), E> {
        let entries = Rc::new(RefCell::new(Vec::new()));
        let (prefix, scalars) = (String::new(), Rc::new(Cell::new(0)));
        let builder = Builder { entries: entries.clone(), scalars, prefix, seed, device: device.clone() };
        let model = build(&builder)?;
        let store = ParamStore { entries: entries.take() };
        let mut names: Vec<&str> = store.entries.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::DuplicateName { name: pair[0].to_string() }.into());
        }
        Ok((model, store))
    }

    /// The trainable parameters, in the model's order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.entries.iter().filter_map(|(name, value)| match value {
            Value::Parameter(var) => Some((name.as_str(), var)),
            Value::Buffer(_) => None,
        })
    }

    /// The buffers, in the model's order.
    pub fn buffers(&self) -> impl Iterator<Item = (&str, &Buffer)> {
        self.entries.iter().filter_map(|(name, value)| match value {
            Value::Parameter(_) => None,
            Value::Buffer(buffer) => Some((name.as_str(), buffer)),
        })
    }

    /// The number of trainable scalars.
    pub fn parameter_count(&self) -> usize {
        self.parameters().map(|(_, var)| var.elem_count()).sum()
    }

    /// The parameters and buffers by name, in the model's order, as a checkpoint holds them.
    /// The tensors share the parameters' storage: copy them to keep a snapshot.
    pub fn state_dict(&self) -> Vec<(String, Tensor)> {
        let value = |value: &Value| match value {
            Value::Parameter(var) => var.as_detached_tensor(),
            Value::Buffer(buffer) => buffer.get(),
        };
        self.entries.iter().map(|(name, v)| (name.clone(), value(v))).collect()
    }

    /// Sets the parameter or buffer `name`, in place.
    ///
    /// # Errors
    /// A name that the model does not have; another shape.
    pub fn set(&self, name: &str, tensor: &Tensor) -> Result<()> {
        let Some((_, value)) = self.entries.iter().find(|(n, _)| n == name) else {
            return Err(Error::UnknownName { name: name.to_string() });
        };
        let current = match value {
            Value::Parameter(var) => var.as_detached_tensor(),
            Value::Buffer(buffer) => buffer.get(),
        };
        if current.dims() != tensor.dims() {
            return Err(Error::ParameterShape {
                name: name.to_string(),
                expected: current.dims().to_vec(),
                found: tensor.dims().to_vec(),
            });
        }
        let tensor = tensor.detach().to_dtype(current.dtype())?.to_device(current.device())?;
        packed_weights::forget();
        match value {
            Value::Parameter(var) => var.set(&tensor.contiguous()?)?,
            Value::Buffer(buffer) => buffer.set(tensor.contiguous()?.copy()?),
        }
        Ok(())
    }
}

/// Defines a model's parameters under a name prefix. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Builder {
    entries: Rc<RefCell<Vec<(String, Value)>>>,
    /// The number of scalars so far.
    scalars: Rc<Cell<usize>>,
    prefix: String,
    /// The seed of initial values; without one they are zero.
    seed: Option<u64>,
    device: Device,
}

impl Builder {
    /// The builder of the sub-module `name` (Candle's `VarBuilder::pp`).
    pub fn pp(&self, name: impl std::fmt::Display) -> Builder {
        Builder { prefix: self.full(&name.to_string()), ..self.clone() }
    }

    /// The full name of `name` under this prefix: `layer1.0.conv1.weight`.
    pub fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) }
    }

    /// Counts the scalars of a parameter or buffer.
    fn count(&self, name: &str, shape: &[usize]) -> Result<()> {
        let scalars = shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
        let total = scalars.and_then(|scalars| self.scalars.get().checked_add(scalars));
        match total.filter(|total| *total <= MAX_SCALARS) {
            Some(total) => self.scalars.set(total),
            None => {
                let (name, shape) = (self.full(name), shape.to_vec());
                return Err(Error::TooManyParameters { name, shape, most: MAX_SCALARS });
            }
        }
        Ok(())
    }

    /// Defines a trainable parameter and returns it.
    ///
    /// # Errors
    /// [`Error::TooManyParameters`]; when the device cannot hold it.
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        self.count(name, shape)?;
        let name = self.full(name);
        let values = match self.seed {
            Some(seed) => init.draw(shape, &mut rng::keyed(seed, rng::hash(&name), 0, rng::INIT)),
            None => vec![0f32; shape.iter().product()],
        };
        let var = Var::from_vec(values, shape, &self.device)?;
        let tensor = var.as_tensor().clone();
        self.entries.borrow_mut().push((name, Value::Parameter(var)));
        Ok(tensor)
    }

    /// Defines a buffer filled with `value`.
    ///
    /// # Errors
    /// [`Error::TooManyParameters`]; when the device cannot hold it.
    pub fn buffer(&self, name: &str, shape: &[usize], value: f32) -> Result<Buffer> {
        self.count(name, shape)?;
        let buffer = Buffer(Arc::new(Shared {
            value: RwLock::new(Tensor::full(value, shape, &self.device)?),
            frozen: AtomicBool::new(false),
        }));
        self.entries.borrow_mut().push((self.full(name), Value::Buffer(buffer.clone())));
        Ok(buffer)
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }
}
