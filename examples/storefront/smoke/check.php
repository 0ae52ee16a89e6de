<?php

/**
 * The checks, in plain PHP: they run once before and once after a restart of the service.
 */

declare(strict_types=1);

$base = rtrim(getenv('CDAF_SMOKE_URL') ?: 'http://127.0.0.1:8000', '/');
$failed = 0;

function ask(string $method, string $path, ?array $body = null, string $accept = '*/*'): array
{
    global $base;
    $context = stream_context_create(['http' => [
        'method' => $method,
        'header' => "Accept: $accept\r\nContent-Type: application/json",
        'content' => $body === null ? '' : json_encode($body),
        'ignore_errors' => true,
        'timeout' => 10,
    ]]);
    $text = file_get_contents($base . $path, false, $context);
    preg_match('{^HTTP/\S+ (\d+)}', $http_response_header[0] ?? '', $status);

    return [(int) ($status[1] ?? 0), (string) $text, json_decode((string) $text, true)];
}

function check(string $what, bool $holds): void
{
    global $failed;
    echo $holds ? 'ok      ' : 'FAILED  ', $what, "\n";
    $failed += $holds ? 0 : 1;
}

[$status, $text] = ask('GET', '/');
check('the window shows what is on sale', $status === 200 && str_contains($text, 'Assam, 250 g</a>, 8.90 EUR'));
[$status, $text] = ask('GET', '/products/cup-white');
check('a product has its text as HTML', $status === 200 && str_contains($text, '<strong>0.3 l</strong>'));
[$status, , $told] = ask('GET', '/products/cup-white', null, 'application/json');
check('a product can be had as JSON', $status === 200 && $told['price'] === 1450);
check('an unknown product is not there', ask('GET', '/products/none')[0] === 404);
check('a wrong method is refused', ask('DELETE', '/')[0] === 405);

[$status, , $told] = ask('POST', '/baskets');
check('a basket can be opened', $status === 201 && strlen($told['id']) === 36);
$basket = $told['id'];
[$status, , $told] = ask('PUT', "/baskets/$basket/tea-assam-250", ['quantity' => 2]);
check('it can be filled', $status === 200 && $told['total'] === 1780);
check('with what is on sale alone', ask('PUT', "/baskets/$basket/none", ['quantity' => 1])[0] === 422);
check('and with whole numbers', ask('PUT', "/baskets/$basket/cup-white", ['quantity' => '1'])[0] === 422);
[$status, , $told] = ask('GET', "/baskets/$basket");
check('it holds what was put in', $told['items'] === [['id' => 'tea-assam-250', 'quantity' => 2]]);
check('others are not there', ask('GET', '/baskets/00000000-0000-7000-8000-000000000000')[0] === 404);

exit($failed ? 1 : 0);
