#!/usr/bin/env bash
# A real Sendmail on loopback, in a private folder, as the machine's root.
#
#   sendmail.sh prepare            downloads and unpacks the packages, if that was not done before
#   sendmail.sh run DIR PORT       runs it until standard input is closed
#
# run reads from the environment: MILTERS (INPUT_MAIL_FILTER lines), MC (more m4 lines),
# SOCKET_DIRS (folders of the filters' Unix sockets, one a line), IPV6 (if set it listens on ::1 as well).
# All mail, whatever its domain, lands in DIR/mail/new (a Maildir); quarantined mail stays in
# DIR/var/spool/mqueue as hf* and df*. The log is DIR/var/log/mail.log,
# what came before it DIR/start.log.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=private_root.sh
. "$here/private_root.sh"

run() {
    local d port=$2
    d=$(cd "$1" && pwd)
    exec 2>"$d/start.log"
    unpack sendmail sendmail-bin sendmail-base sendmail-cf m4
    private_etc "$d" sendmail
    add_account "$d" labmail 31003
    mkdir -p "$d/etc/mail" "$d/var/spool/mqueue"
    chown -R 31003 "$d/mail"
    chmod 755 "$d/etc/mail"
    chmod 700 "$d/var/spool/mqueue"
    printf 'hosts files\npasswd files\naliases files\n' >"$d/etc/mail/service.switch"
    printf 'mx.lab.example\nlab.example\n' >"$d/etc/mail/local-host-names"
    : >"$d/etc/mail/aliases"
    cat >"$d/deliver" <<'SH'
#!/bin/sh
# SENDER RECIPIENT: one file in the Maildir, envelope on top as Postfix writes it
umask 022
# to a local mailer Sendmail calls the null sender so
[ "$1" != MAILER-DAEMON ] || set -- "" "$2"
# time and process: no two mails have both, and no command need be run to get them
read -r f _ </proc/uptime
f=$f.$$
{ printf 'Return-Path: <%s>\nDelivered-To: %s\n' "$1" "$2"; cat; } >"/lab/mail/tmp/$f" &&
    mv "/lab/mail/tmp/$f" "/lab/mail/new/$f"
SH
    chmod 755 "$d/deliver"
    local daemon6=''
    [ -z "${IPV6:-}" ] || daemon6="DAEMON_OPTIONS(\`Family=inet6, Name=lab6, Port=$port, Addr=::1')dnl"
    cat >"$d/etc/mail/lab.mc" <<MC
divert(0)dnl
VERSIONID(\`lab')dnl
OSTYPE(\`debian')dnl
define(\`confDOMAIN_NAME', \`mx.lab.example')dnl
undefine(\`confHOST_STATUS_DIRECTORY')dnl
define(\`confPID_FILE', \`/var/run/sendmail.pid')dnl
define(\`confTRUSTED_USER', \`root')dnl
define(\`confDEF_USER_ID', \`labmail:labmail')dnl
define(\`confTO_IDENT', \`0')dnl
define(\`confDONT_PROBE_INTERFACES', \`True')dnl
define(\`confALLOW_BOGUS_HELO', \`True')dnl
define(\`confDELIVERY_MODE', \`background')dnl
define(\`confSERVICE_SWITCH_FILE', \`/etc/mail/service.switch')dnl
define(\`confHOSTS_FILE', \`/etc/hosts')dnl
define(\`confCONNECTION_RATE_THROTTLE', \`0')dnl
define(\`confQUEUE_LA', \`1000')dnl
define(\`confREFUSE_LA', \`1000')dnl
define(\`confBIND_OPTS', \`-DNSRCH -DEFNAMES')dnl
define(\`STATUS_FILE', \`/var/lib/sendmail.st')dnl
define(\`ALIAS_FILE', \`/etc/mail/aliases')dnl
define(\`LOCAL_MAILER_PATH', \`/lab/deliver')dnl
define(\`LOCAL_MAILER_FLAGS', \`rn')dnl
define(\`LOCAL_MAILER_ARGS', \`deliver \$g \$u@lab.example')dnl
define(\`SMART_HOST', \`labsink:sink.invalid')dnl
FEATURE(\`no_default_msa')dnl
FEATURE(\`nocanonify')dnl
FEATURE(\`use_cw_file')dnl
FEATURE(\`accept_unresolvable_domains')dnl
FEATURE(\`accept_unqualified_senders')dnl
FEATURE(\`promiscuous_relay')dnl
MODIFY_MAILER_FLAGS(\`LOCAL', \`-wA5:|/@')dnl
DAEMON_OPTIONS(\`Family=inet, Name=lab, Port=$port, Addr=127.0.0.1')dnl
$daemon6
${MILTERS:-}
${MC:-}
MAILER(\`local')dnl
MAILER(\`smtp')dnl
MAILER_DEFINITIONS
Mlabsink, P=/lab/deliver, F=lsDFMnr, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, L=990, T=X-Unix/X-Unix/X-Unix, A=deliver \$g \$u
MC
    chown -R root:root "$d/etc/mail"
    # shellcheck disable=SC2016
    in_root "$d" sendmail bash -c "$in_root_functions"'
        set -e
        cd /etc/mail
        : >/var/lib/sendmail.st
        m4 -D_CF_DIR_=/usr/share/sendmail/cf/ /usr/share/sendmail/cf/m4/cf.m4 lab.mc >sendmail.cf
        s=/usr/libexec/sendmail/sendmail
        [ -x $s ] || s=/usr/lib/sm.bin/sendmail
        start_syslog
        $s -bi -C /etc/mail/sendmail.cf >/dev/null
        # -bD stays in the foreground
        run_until_eof $s -bD -C /etc/mail/sendmail.cf -O LogLevel=14 -O Milter.LogLevel=14
    '
}

case ${1:-}/$# in
    prepare/1) unpack sendmail sendmail-bin sendmail-base sendmail-cf m4 ;;
    run/3) run "$2" "$3" ;;
    *)
        sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
