package main

import (
	"bytes"
	"fmt"
	"io"
)

// File types of a cpio member's mode; the values are those of struct stat.
const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
)

// cpioWriter writes an archive in the "newc" format, the one the kernel unpacks as initramfs (see
// Documentation/driver-api/early-userspace/buffer-format.rst). The first error sticks and close
// returns it. It is written here because the format is a page long and cpio(1) would want a
// staging folder and device-node rights. Not safe for concurrent use.
type cpioWriter struct {
	w     io.Writer
	inode int
	err   error
}

// dir adds a folder.
func (c *cpioWriter) dir(name string) { c.member(name, cpioDir|0o755, nil) }

// file adds a regular file with the permission bits perm.
func (c *cpioWriter) file(name string, perm int, data []byte) {
	c.member(name, cpioFile|perm, data)
}

// close ends the archive; it does not close the underlying writer.
func (c *cpioWriter) close() error {
	c.member("TRAILER!!!", 0, nil)
	return c.err
}

// member writes one header, name and content. All times, owners and devices are zero, so that the
// same content gives the same bytes.
func (c *cpioWriter) member(name string, mode int, data []byte) {
	if c.err != nil {
		return
	}
	c.inode++
	var b bytes.Buffer
	fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	b.WriteString(name)
	b.WriteByte(0)
	pad4(&b)
	b.Write(data)
	pad4(&b)
	if _, err := c.w.Write(b.Bytes()); err != nil {
		c.err = fmt.Errorf("writing cpio member %s: %w", name, err)
	}
}

// pad4 pads b to a multiple of four bytes. Every member starts at one, so that padding within b is
// padding within the archive.
func pad4(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}
