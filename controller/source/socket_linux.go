package source

import "golang.org/x/sys/unix"

// unreadBytes is how much has arrived at a socket and was not read (SIOCINQ, tcp(7)).
func unreadBytes(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
