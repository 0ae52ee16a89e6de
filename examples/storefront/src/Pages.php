<?php

declare(strict_types=1);

namespace Storefront;

use Parsedown;

/** HTML from the templates, which are PHP. */
final class Pages
{
    public function __construct(private readonly string $folder, private readonly Parsedown $markdown)
    {
    }

    /** @param array<string, mixed> $values */
    public function render(string $name, array $values): string
    {
        $content = $this->part($name, $values);

        return $this->part('layout', ['content' => $content] + $values);
    }

    /** @param array<string, mixed> $values */
    private function part(string $name, array $values): string
    {
        $markdown = $this->markdown->text(...);
        extract($values, EXTR_SKIP);
        ob_start();
        require "{$this->folder}/$name.php";

        return (string) ob_get_clean();
    }
}
