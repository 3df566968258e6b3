#!/bin/busybox sh
# First stage of the guest's boot, PID 1 in the initramfs: from nothing to the host's files under an
# overlay. A failing command ends PID 1, which panics the kernel, which ends QEMU: the console tells.
set -eu
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do
	insmod "/modules/$module"
done </modules/order

mkdir /lower /upper /newroot
# loose: the host's files are taken to stand still, which is what makes this bearably fast.
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /lower
mount -t tmpfs -o mode=755 upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /newroot

release=$(uname -r)
# In the new root's own terms, because its /lib may be a link.
chroot /newroot /bin/mkdir -p "/lib/modules/$release" /results /dev /proc /sys /run /tmp
modules=$(chroot /newroot /bin/sh -c 'cd -P "$1" && pwd -P' sh "/lib/modules/$release")
mount --bind "/lower$(cat /job/modules)" "/newroot$modules"
mount -t tmpfs -o mode=1777 tmp /newroot/tmp
mount -t tmpfs -o mode=755 run /newroot/run
tab=$(printf '\t')
while IFS=$tab read -r from to; do # what COMMAND needs of the host's /tmp; see keptFolders
	mkdir -p "/newroot$to"
	mount --bind "/lower$from" "/newroot$to"
done </job/keep
mount -t 9p -o trans=virtio,version=9p2000.L,cache=mmap,msize=512000 results /newroot/results

mkdir -p /newroot/run/fairlead-vm/bin
cp /bin/busybox /newroot/run/fairlead-vm/bin/
cp /stage2 /job/* /newroot/run/fairlead-vm/
for dir in dev proc sys; do
	mount --move "/$dir" "/newroot/$dir"
done
exec switch_root /newroot /run/fairlead-vm/bin/busybox sh /run/fairlead-vm/stage2
