# shellcheck shell=bash
# Sourced by postfix.sh and sendmail.sh.
#
# Debian's MTAs exclude each other, so neither is installed. Their packages are unpacked into a
# cache folder, and the MTA runs in mount and process namespaces of its own: /usr is the machine's
# with the unpacked packages laid over, /etc and /var are private. The network is the machine's own,
# so that filters on loopback are reached as usual.
#
# Nothing outlives the MTA: it ends when the standard input of its script is closed, and with it
# end all its processes and mounts, also when whoever started it was killed.

lab=${MILLRACE_LAB:-/tmp/millrace-lab-cache}

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# unpack NAME PACKAGE...: the packages, and those that they need and the machine lacks, are laid
# out in $lab/NAME. The .deb files stay in $lab/debs. Started twice at once, the second waits.
unpack() {
    local name=$1 packages p
    shift
    mkdir -p "$lab/debs"
    # a folder of somebody else's below /tmp could hold anything
    [ -O "$lab" ] || die "$lab belongs to another user; set MILLRACE_LAB to a folder of your own"
    exec 9>"$lab/lock"
    flock 9
    if [ ! -e "$lab/$name/complete" ]; then
        rm -rf "${lab:?}/$name"
        mkdir -p "$lab/$name/usr" "$lab/$name/etc"
        packages=$(needed_packages "$@") || die "apt-get does not know the packages $*"
        for p in $packages; do
            [ -n "$(cached_deb "$p")" ] || download "$p"
            dpkg-deb -x "$(cached_deb "$p")" "$lab/$name"
        done
        # only /usr and /etc are laid over: what a package has in /lib or /sbin goes to their new home
        for p in bin sbin lib; do
            [ ! -d "$lab/$name/$p" ] || { mkdir -p "$lab/$name/usr/$p" && cp -a "$lab/$name/$p/." "$lab/$name/usr/$p/"; }
        done
        : >"$lab/$name/complete"
    fi
    flock -u 9
    exec 9>&-
}

cached_deb() {
    find "$lab/debs" -maxdepth 1 -name "${1}_*.deb" | sort | tail -1
}

# the package lists of this folder, for machines whose own are missing or out of date
private_apt() {
    mkdir -p "$lab/apt/lists/partial" "$lab/apt/cache/archives/partial"
    apt-get -q -o Dir::State::lists="$lab/apt/lists" -o Dir::Cache="$lab/apt/cache" \
        -o APT::Sandbox::User=root "$@"
}

# needed_packages PACKAGE...: what an installation would add here, one name a line (only simulated)
needed_packages() {
    local out
    out=$(apt-get -q -s --no-install-recommends install "$@" 2>/dev/null) ||
        { private_apt update >/dev/null 2>&1 &&
            out=$(private_apt -s --no-install-recommends install "$@" 2>/dev/null); } || return 1
    printf '%s\n' "$out" | sed -n 's/^Inst \([^ ]*\) .*/\1/p'
}

download() {
    cd "$lab/debs" || die "cannot enter $lab/debs"
    apt-get -q -o APT::Sandbox::User=root download "$1" >/dev/null 2>&1 ||
        private_apt download "$1" >/dev/null 2>&1 ||
        { private_apt update >/dev/null 2>&1 && private_apt download "$1" >/dev/null 2>&1; } ||
        die "cannot download the package $1"
    cd - >/dev/null || die "cannot go back"
}

# private_etc DIR NAME: an /etc with the packages' files, no names from outside (the hosts file, and
# a resolver that refuses at once), and accounts of its own
private_etc() {
    local d=$1 f
    mkdir -p "$d/etc" "$d"/var/{log,spool,lib,run,tmp} "$d/mail"/{new,cur,tmp}
    cp -a "$lab/$2/etc/." "$d/etc/"
    for f in passwd group services protocols ld.so.cache localtime; do
        [ ! -e "/etc/$f" ] || cp -aL "/etc/$f" "$d/etc/$f"
    done
    printf '127.0.0.1 localhost mx.lab.example client.lab.example\n' >"$d/etc/hosts"
    printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$d/etc/resolv.conf"
    printf '%s: files\n' passwd group hosts networks protocols services >"$d/etc/nsswitch.conf"
    echo mx.lab.example >"$d/etc/mailname"
    chmod 755 "$d" "$d"/etc "$d"/var "$d"/var/* "$d/mail"
    chown root:root "$d/etc"
}

# add_account DIR NAME ID: a user and group of that name in the private /etc
add_account() {
    grep -q "^$2:" "$1/etc/passwd" || echo "$2:x:$3:$3::/nonexistent:/usr/sbin/nologin" >>"$1/etc/passwd"
    grep -q "^$2:" "$1/etc/group" || echo "$2:x:$3:" >>"$1/etc/group"
}

# in_root DIR NAME COMMAND...: run it in the private root, DIR being /lab there. The folders in
# SOCKET_DIRS (one a line) keep their paths, but not the folders above them: Sendmail calls a
# socket below a world-writable folder such as /tmp unsafe.
in_root() {
    local d=$1 tree=$lab/$2
    shift 2
    mkdir -p "$d/root"
    exec unshare --mount --pid --fork --kill-child --propagation private -- bash -c '
        set -e
        d=$1; r=$1/root; tree=$2; shift 2
        mount -t tmpfs -o size=16m,mode=755 none "$r"
        cd "$r"
        mkdir usr etc var dev proc run lab tmp
        ln -s usr/bin bin; ln -s usr/sbin sbin
        for l in lib lib32 lib64; do [ ! -e "/usr/$l" ] || ln -s "usr/$l" "$l"; done
        mount -t overlay -o "ro,lowerdir=$tree/usr:/usr" overlay usr
        mount --bind "$d/etc" etc
        mount --bind "$d/var" var
        mount --bind "$d" lab
        mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
        for f in null zero random urandom; do : >"dev/$f"; mount --bind "/dev/$f" "dev/$f"; done
        ln -s /proc/self/fd dev/fd
        printf "%s\n" "${SOCKET_DIRS:-}" | while read -r s; do
            [ -z "$s" ] || { mkdir -p ".$s"; mount --bind "$s" ".$s"; }
        done
        exec chroot . "$@"
    ' _ "$d" "$tree" "$@"
}

# Functions for the commands inside the private root.
# start_syslog appends what is logged to /dev/log to /var/log/mail.log: Sendmail knows no other way.
# perl-base is on every Debian.
# run_until_eof COMMAND... ends, and so ends the whole process namespace, when the command does or when
# standard input is closed.
# shellcheck disable=SC2034
in_root_functions='
start_syslog() {
    perl -MSocket -e '"'"'
        open(my $log, ">>", "/var/log/mail.log") or die "mail.log: $!";
        select((select($log), $| = 1)[0]);
        socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
        bind($socket, pack_sockaddr_un("/dev/log")) or die "/dev/log: $!";
        chmod 0666, "/dev/log";
        while (defined recv($socket, my $line, 65536, 0)) {
            $line =~ s/^<\d+>//;
            $line =~ s/[\0\n]+$//;
            print $log "$line\n";
        }
    '"'"' </dev/null &
    for _ in $(seq 250); do [ ! -S /dev/log ] || return 0; sleep 0.02; done
    echo "nothing listens on /dev/log" >&2
    exit 1
}
run_until_eof() {
    exec 3<&0
    "$@" </dev/null 3<&- &
    cat <&3 >/dev/null &
    wait -n || exit 1
}
'
