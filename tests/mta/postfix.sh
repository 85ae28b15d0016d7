#!/usr/bin/env bash
# A real Postfix on loopback, in a private folder, as the machine's root.
#
#   postfix.sh prepare             downloads and unpacks the packages, if that was not done before
#   postfix.sh run DIR PORT        runs it until standard input is closed
#   postfix.sh show DIR ID         prints the mail with that queue id, held or queued, as postcat does
#
# run reads from the environment: MILTERS (the value of smtpd_milters), MAIN_CF (more main.cf lines),
# SOCKET_DIRS (folders of the filters' Unix sockets, one a line), IPV6 (if set it listens on ::1 as well).
# Mail for lab.example lands in DIR/mail/new (one Maildir for all), mail for anywhere else is discarded,
# quarantined mail stays in DIR/var/spool/postfix/hold. The log is DIR/var/log/mail.log,
# what came before it DIR/start.log.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=private_root.sh
. "$here/private_root.sh"

run() {
    local d port=$2
    d=$(cd "$1" && pwd)
    exec 2>"$d/start.log"
    unpack postfix postfix
    private_etc "$d" postfix
    add_account "$d" labpostfix 31001
    add_account "$d" labdrop 31002
    add_account "$d" labmail 31003
    mkdir -p "$d/etc/postfix" "$d/var/spool/postfix/pid" "$d/var/lib/postfix"
    chown 31001 "$d/var/lib/postfix"
    chown -R 31003 "$d/mail"
    cat >"$d/etc/postfix/main.cf" <<CF
compatibility_level = 3.6
myhostname = mx.lab.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mail_owner = labpostfix
setgid_group = labdrop
virtual_mailbox_domains = lab.example
virtual_mailbox_base = /lab
virtual_mailbox_maps = static:mail/
virtual_uid_maps = static:31003
virtual_gid_maps = static:31003
virtual_alias_maps =
alias_maps =
alias_database =
default_transport = discard
relay_transport = discard
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
in_flow_delay = 0
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
biff = no
smtpd_milters = ${MILTERS:-}
non_smtpd_milters =
milter_default_action = tempfail
milter_connect_timeout = 5s
milter_command_timeout = 10s
milter_content_timeout = 20s
${MAIN_CF:-}
CF
    cat >"$d/etc/postfix/master.cf" <<CF
127.0.0.1:$port inet n - n - - smtpd
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
tlsmgr    unix  - - n 1000? 1 tlsmgr
trace     unix  - - n -   0 bounce
verify    unix  - - n -   1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -   - proxymap
proxywrite unix - - n -   1 proxymap
showq     unix  n - n -   - showq
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
virtual   unix  - n n -   - virtual
anvil     unix  - - n -   1 anvil
scache    unix  - - n -   1 scache
CF
    if [ -n "${IPV6:-}" ]; then
        # after what was said before, and so in its place
        printf 'inet_interfaces = 127.0.0.1, ::1\ninet_protocols = all\nmynetworks = 127.0.0.0/8 [::1]/128\n' \
            >>"$d/etc/postfix/main.cf"
        echo "[::1]:$port inet n - n - - smtpd" >>"$d/etc/postfix/master.cf"
    fi
    chown -R root:root "$d/etc/postfix"
    # shellcheck disable=SC2016
    in_root "$d" postfix bash -c "$in_root_functions"'
        set -e
        cd /var/spool/postfix
        for q in active bounce corrupt defer deferred flush hold incoming private public saved trace maildrop; do
            mkdir -p "$q"
            chown labpostfix "$q"
            chmod 700 "$q"
        done
        chmod 755 . pid
        chgrp labdrop public maildrop
        chmod 710 public
        chmod 730 maildrop
        start_syslog
        export MAIL_CONFIG=/etc/postfix
        run_until_eof /usr/lib/postfix/sbin/master -c /etc/postfix -d
    '
}

case ${1:-}/$# in
    prepare/1) unpack postfix postfix ;;
    run/3) run "$2" "$3" ;;
    show/3) in_root "$(cd "$2" && pwd)" postfix /usr/sbin/postcat -c /etc/postfix -q "$3" ;;
    *)
        sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
