<?php

declare(strict_types=1);

namespace Storefront;

/** An amount in cents, as people read it. */
function price(int $cents): string
{
    return number_format($cents / 100, 2, '.', ',') . ' EUR';
}

/** Text made safe to stand in HTML. */
function escaped(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES | ENT_SUBSTITUTE);
}
