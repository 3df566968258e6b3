// Package view is what Fairlead tells about itself, in words for people and programs: what it should have in the
// kernel, what is there, and why. The controller fills it in, the local socket carries it, and the commands and the
// status page show it.
//
// Everything here is a value without behavior, read from JSON as it was written. A pointer that is nil stands for
// "is not".
package view
