package main

import (
	"context"
	"encoding/binary"
	"os/exec"

	"golang.org/x/sys/unix"
)

// hostRelease is the host kernel's release, "" if it does not say.
func hostRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// hostHasIPVS tells whether the running kernel has IPVS: its generic netlink family resolves. That
// is the question, not whether a module file exists; modprobe only gets its chance first.
func hostHasIPVS(ctx context.Context) bool {
	if genlFamilyExists("IPVS") {
		return true
	}
	if modprobe := findProgram("modprobe", isProgram); modprobe != "" {
		_ = exec.CommandContext(ctx, modprobe, "-q", "ip_vs").Run() // the family is what counts
	}
	return genlFamilyExists("IPVS")
}

// genlFamilyExists asks the generic netlink controller for a family by name. Any failure is a no.
func genlFamilyExists(name string) bool {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC)
	if err != nil {
		return false
	}
	defer unix.Close(s)
	limit := unix.Timeval{Sec: 5}
	if unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit) != nil {
		return false
	}
	if unix.Sendto(s, familyRequest(name), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return false
	}
	answer := make([]byte, 8192)
	n, _, err := unix.Recvfrom(s, answer, 0)
	if err != nil || n < unix.NLMSG_HDRLEN {
		return false
	}
	// Bytes 4 to 6 are the message's type: the controller's id for a family, NLMSG_ERROR otherwise.
	return binary.NativeEndian.Uint16(answer[4:6]) == unix.GENL_ID_CTRL
}

// familyRequest is a CTRL_CMD_GETFAMILY message: a netlink header, a generic netlink header and the
// name, terminated and padded to four bytes.
func familyRequest(name string) []byte {
	attr := unix.NLA_HDRLEN + len(name) + 1
	padded := (attr + 3) &^ 3
	b := make([]byte, unix.NLMSG_HDRLEN+unix.GENL_HDRLEN+padded)
	e := binary.NativeEndian
	e.PutUint32(b[0:], uint32(len(b)))
	e.PutUint16(b[4:], unix.GENL_ID_CTRL)
	e.PutUint16(b[6:], unix.NLM_F_REQUEST)
	e.PutUint32(b[8:], 1) // sequence number
	genl := b[unix.NLMSG_HDRLEN:]
	genl[0], genl[1] = unix.CTRL_CMD_GETFAMILY, 1
	name4 := genl[unix.GENL_HDRLEN:]
	e.PutUint16(name4[0:], uint16(attr))
	e.PutUint16(name4[2:], unix.CTRL_ATTR_FAMILY_NAME)
	copy(name4[unix.NLA_HDRLEN:], name)
	return b
}
