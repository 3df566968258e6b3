// Package hostaddr tells the host's own addresses, and when they have changed.
//
// An address counts if a packet from another machine may be sent to it: it is global unicast (that
// includes private ones), and its device is up and no loopback device. Left out are IPv6 addresses
// that another machine turned out to have (dadfailed) and deprecated addresses of either family that
// will expire, which nobody should begin to use. One that is valid for ever was deprecated on purpose,
// so that the host does not take it as its source, and counts. Temporary ones (privacy extensions)
// count until they are deprecated, and tentative ones, which will be usable in a second or two.
//
// A device that holds VIPs never counts, and what happens on the one in use is no change: it may get
// ten thousand addresses in a burst.
package hostaddr
