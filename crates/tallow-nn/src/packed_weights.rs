//! Packed weights kept from one forward pass to the next. For a single image, packing a network's weights takes as long
//! as multiplying by them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

use candle_core::{Tensor, TensorId};
use tallow_kernels::cpu::conv2d::{Convolution, PackedWeights};

use crate::suspended::Suspended;

/// The packed weights of some parameters.
pub(crate) type Cache = HashMap<TensorId, Entry>;

pub(crate) struct Entry {
    packed: Rc<PackedWeights>,
    /// The scale that was multiplied into them.
    scale: Option<Vec<f32>>,
}

thread_local! {
    static CACHE: RefCell<Option<Cache>> = const { RefCell::new(None) };
}

/// Until the guard is dropped, convolutions and linear layers that run on this thread in f32 keep their packed weights:
/// inference packs them once, and needs their memory once more. [`ParamStore::set`](crate::ParamStore::set) and
/// [`Tape::start`](crate::Tape::start) on this thread drop what is kept. Do not change a parameter in another way, or
/// on another thread, meanwhile.
pub fn keep_packed_weights() -> KeepPackedWeights {
    let outermost = CACHE.with_borrow_mut(|cache| {
        let outermost = cache.is_none();
        cache.get_or_insert_default();
        outermost
    });
    KeepPackedWeights { outermost, not_send: PhantomData }
}

/// Whether this thread keeps packed weights.
pub(crate) fn are_kept() -> bool {
    CACHE.with_borrow(Option::is_some)
}

/// The packed form of the parameter `weight` for `convolution`, if it is kept.
pub(crate) fn find(weight: &Tensor, convolution: &Convolution, scale: Option<&[f32]>) -> Option<Rc<PackedWeights>> {
    CACHE.with_borrow(|cache| {
        let entry = cache.as_ref()?.get(&weight.id())?;
        let same = entry.scale.as_deref() == scale && entry.packed.fits(convolution);
        same.then(|| entry.packed.clone())
    })
}

/// Keeps the packed form of the parameter `weight`.
pub(crate) fn insert(weight: &Tensor, packed: Rc<PackedWeights>, scale: Option<&[f32]>) {
    let entry = Entry { packed, scale: scale.map(<[f32]>::to_vec) };
    CACHE.with_borrow_mut(|cache| cache.as_mut().map(|cache| cache.insert(weight.id(), entry)));
}

/// Drops what is kept: parameters are about to change.
pub(crate) fn forget() {
    CACHE.with_borrow_mut(|cache| cache.as_mut().map(HashMap::clear));
}

/// Hides what is kept from other passes, until the guard is dropped.
pub(crate) fn suspend() -> Suspended<RefCell<Option<Cache>>> {
    Suspended::new(&CACHE)
}

/// Drops the packed weights in the end; within another such guard, that one does.
#[must_use = "weights are kept until this is dropped"]
pub struct KeepPackedWeights {
    outermost: bool,
    not_send: PhantomData<*const ()>,
}

impl Drop for KeepPackedWeights {
    fn drop(&mut self) {
        if self.outermost {
            CACHE.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::layers::Linear;
    use crate::{Init, ParamStore, Result, Tape, keep_packed_weights};

    #[test]
    fn kept_weights_give_the_same_result_and_a_new_value_counts_at_once() -> Result<()> {
        let cpu = Device::Cpu;
        let init = Init::TruncatedNormal { std: 1.0, limit: 2.0 };
        let (layer, store) = ParamStore::build(0, &cpu, |b| Linear::new(5, 3, false, init, b))?;
        let x = candle_core::Tensor::arange(0f32, 10.0, &cpu)?.reshape((2, 5))?;
        let run = || -> Result<Vec<f32>> { Ok(layer.forward(&x)?.flatten_all()?.to_vec1()?) };
        let (alone, doubled) = (run()?, layer.weight.affine(2.0, 0.0)?);

        let kept = keep_packed_weights();
        {
            let _inner = keep_packed_weights();
            assert_eq!(run()?, alone);
        }
        // A parameter that changes in another way is not seen ...
        let (_, weight) = store.parameters().next().expect("a weight");
        weight.set(&doubled)?;
        assert_eq!(run()?, alone);
        // ... until training begins, or the store is told.
        let tape = Tape::start();
        let twice: Vec<f32> = alone.iter().map(|y| 2.0 * y).collect();
        assert_eq!(run()?, twice);
        drop(tape);
        assert_eq!(run()?, twice);
        store.set("weight", &doubled.affine(0.5, 0.0)?)?;
        assert_eq!(run()?, alone);
        weight.set(&doubled)?;
        drop(kept);
        assert_eq!(run()?, twice);
        Ok(())
    }
}
