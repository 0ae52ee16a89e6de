<?php use function Storefront\price; ?>
<p><?= price($product['price']) ?></p>
<?= $markdown($product['text']) ?>
