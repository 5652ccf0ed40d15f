//! The durability protocol on a store that misbehaves: puts are held, repeated, misreported.

mod changes;
mod faulty;
mod leaders;
mod views;
