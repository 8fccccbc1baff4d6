//! The devices that a test body runs on.

/// Makes a test of each body on each device: `emulated::NAME`, and `gpu::NAME` with the feature `cuda`.
macro_rules! on_each_device {
    ($($body:ident),* $(,)?) => {
        mod emulated {
            $(#[test]
            fn $body() {
                super::$body(&crate::emulation::Emulation::new()).unwrap();
            })*
        }

        #[cfg(feature = "cuda")]
        mod gpu {
            $(#[test]
            #[ignore = "needs a GPU"]
            fn $body() {
                super::$body(&tallow_cuda::gpu::Gpu::new(0).unwrap()).unwrap();
            })*
        }
    };
}

pub(crate) use on_each_device;
