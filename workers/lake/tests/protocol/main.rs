//! The durability protocol on a store that misbehaves: puts are held, repeated, misreported.

mod faulty;
mod leaders;
mod views;
