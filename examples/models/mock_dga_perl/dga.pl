# A mock of a model that knows generated domains, in Perl: two domains are legit, and all others are malicious.
# It needs what perl-base has, which is on every Debian. Each connection gets a process of its own, and is kept.
use strict;
use warnings;
use IO::Socket::INET;

my %legit = map { $_ => 1 } qw(yahoo.com amazon.com);

sub parameters {
    my %found;
    for my $pair (split /&/, shift) {
        my ($name, $value) = split /=/, $pair, 2;
        for ($name, $value) {
            next unless defined;
            tr/+/ /;
            s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
        }
        $found{$name} //= $value if defined $name;
    }
    return \%found;
}

sub answer {
    my ($path, $query) = split /\?/, shift, 2;
    return ('404 Not Found', '{"error": "there is /apply alone"}') if $path ne '/apply';
    my $host = parameters($query // '')->{host} // '';
    return ('200 OK', sprintf '{"is_malicious": "%s"}', $legit{$host} ? 'legit' : 'malicious');
}

sub serve {
    my $connection = shift;
    alarm 60;
    while (defined(my $request = <$connection>)) {
        my ($method, $target) = split ' ', $request;
        my $close = 0;
        while (defined(my $header = <$connection>)) {
            last if $header =~ /^\r?\n$/;
            $close = 1 if $header =~ /^connection:\s*close/i;
        }
        my ($status, $body) = ($method // '') eq 'GET' ? answer($target // '') : ('405 Method Not Allowed', '{}');
        print $connection "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: ",
            length $body, "\r\n\r\n", $body;
        last if $close;
        alarm 60;    # an idle connection does not stay for ever
    }
}

my $host = $ENV{MODEL_HOST} // '127.0.0.1';
my $server = IO::Socket::INET->new(LocalAddr => $host, LocalPort => 0, Listen => 128, ReuseAddr => 1)
    or die "can't listen at $host: $@\n";
open my $draft, '>', 'endpoint.dat.draft' or die "endpoint.dat.draft: $!\n";
printf $draft '{"url": "http://%s:%d"}', $host, $server->sockport;
close $draft or die "endpoint.dat.draft: $!\n";
rename 'endpoint.dat.draft', 'endpoint.dat' or die "endpoint.dat: $!\n";    # so that nobody reads half of it

$SIG{CHLD} = 'IGNORE';    # the system forgets those that ended
while (1) {
    my $connection = $server->accept or next;
    $connection->autoflush(1);
    my $child = fork;
    if (defined $child && !$child) {
        $server->close;
        serve($connection);
        exit 0;
    }
    $connection->close;
}
