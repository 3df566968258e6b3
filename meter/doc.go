// Package meter counts what goes through virtual servers, from what the kernel counts.
//
// The kernel's counters begin anew with each virtual server. A Meter's do not: a virtual server that is deleted and
// made again goes on where it was. It asks the kernel once for all virtual servers, on a socket of its own, and so
// never keeps the controller waiting.
package meter
